import type { ApplicationStatus } from './application.ts';

export const policyModes = ['INACTIVE', 'ACTIVE', 'SHADOW'] as const;

/** `ACTIVE` decides; `SHADOW` is asked as well, and only recorded. There is one of the first and at most one of the second. */
export type PolicyMode = (typeof policyModes)[number];

/** A stored version of the decision policy. What it says never changes. */
export type Policy = {
  version: string;
  mode: PolicyMode;
  /** SHA-256 of the canonical document, hex */
  hash: string;
  /** JDM, JSON text */
  document: string;
  createdAt: Date;
  /** `analyst:<subject>`, or `prequal` for what is shipped */
  createdBy: string;
};

/** What another policy would have decided. */
export type PolicySimulation = {
  evaluated: number;
  changed: number;
  transitions: { from: ApplicationStatus; to: ApplicationStatus; count: number }[];
};

/** most applications that a simulation replays */
export const simulationMaxApplications = 10_000;
