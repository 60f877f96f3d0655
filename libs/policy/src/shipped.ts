import { readFileSync } from 'node:fs';

export type ShippedPolicy = { version: string; mode: 'ACTIVE' | 'SHADOW'; document: string };

/** The policies that every installation starts with, as files of `policies/`; `seed-1` is the one that decides. */
export function shippedPolicies(): ShippedPolicy[] {
  return [
    { version: 'seed-1', mode: 'ACTIVE', document: read('seed-1') },
    { version: 'foir-1', mode: 'SHADOW', document: read('foir-1') },
  ];
}

function read(version: string): string {
  return readFileSync(new URL(`../policies/${version}.json`, import.meta.url), 'utf8');
}
