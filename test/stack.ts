import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDecisioning } from '@prequal/decisioning';
import { startGateway } from '@prequal/gateway';
import { developmentKeys } from '@prequal/pan';
import { startScoring } from '@prequal/scoring';
import type { Service } from '@prequal/service';
import { test as base, connectClient, type TestClient } from '@prequal/testing';
import { expect } from 'vitest';

/** The services of one test file, in this process, on servers of their own. */
export type TestStack = {
  /** the environment of one service, with the rights of that service alone */
  envOf: (name: keyof typeof starters) => NodeJS.ProcessEnv;
  /** of the gateway that takes submissions */
  client: TestClient;
  /** of a second gateway, which shares nothing with the first but PostgreSQL and NATS */
  otherClient: TestClient;
  /** Stops a worker; disposing the answer starts it again. */
  without: (worker: 'scoring' | 'decisioning') => Promise<AsyncDisposable>;
};

const starters = { gateway: startGateway, scoring: startScoring, decisioning: startDecisioning };

export const syntheticToken = 'a-token-for-tests-only';

export const test = base.extend<{ $file: { stack: TestStack; settings: NodeJS.ProcessEnv } }>({
  /** variables of the services that a test file wants otherwise */
  settings: [
    // oxlint-disable-next-line eslint/no-empty-pattern -- vitest reads the parameter's pattern
    async ({}, use) => {
      await use({});
    },
    { scope: 'file' },
  ],
  stack: [
    async ({ database, nats, settings }, use) => {
      await using owned = new AsyncDisposableStack();
      const dataDir = await mkdtemp(join(tmpdir(), 'prequal-data-'));
      owned.defer(() => rm(dataDir, { recursive: true, force: true }));
      const env = {
        ...(await developmentKeys(dataDir)),
        // The gateways are their own issuer, as on a development machine.
        PREQUAL_DATA_DIR: dataDir,
        GATEWAY_PORT: '0',
        SCORING_PORT: '0',
        DECISIONING_PORT: '0',
        LOG_LEVEL: 'silent',
        RECONCILE_AFTER_MS: '1000',
        SYNTHETIC_TOKEN: syntheticToken,
        CORS_ORIGINS: 'https://partner.example',
        ...settings,
      };
      const urls = {
        gateway: { DATABASE_URL: database.urls.gateway, NATS_URL: nats.urls.gateway },
        scoring: { NATS_URL: nats.urls.scoring },
        decisioning: { DATABASE_URL: database.urls.decisioning, NATS_URL: nats.urls.decisioning },
      };
      const envOf = (name: keyof typeof starters) => ({ ...env, ...urls[name] });
      const start = async (name: keyof typeof starters) => owned.use(await starters[name](envOf(name)));
      const [gateway, otherGateway, scoring, decisioning] = await Promise.all([
        start('gateway'),
        start('gateway'),
        start('scoring'),
        start('decisioning'),
      ]);
      const client = owned.use(connectClient(gateway.url));
      const otherClient = owned.use(connectClient(otherGateway.url));
      const workers: Record<'scoring' | 'decisioning', Service> = { scoring, decisioning };
      const without = async (name: keyof typeof workers) => {
        await workers[name][Symbol.asyncDispose]();
        return {
          [Symbol.asyncDispose]: async () => {
            workers[name] = await start(name);
          },
        };
      };
      await use({ envOf, client, otherClient, without });
    },
    { scope: 'file' },
  ],
});

export const goodInput = {
  panNumber: 'ABCDE1234F',
  applicantName: 'Sandbox Applicant',
  monthlyIncomeInr: '75000.00',
  loanAmountInr: '500000.00',
  loanType: 'PERSONAL',
};

export const submitDocument = `
  mutation Submit($input: SubmitApplicationInput!) {
    submitApplication(input: $input) {
      replayed
      application { id status version maskedPan applicantName monthlyIncomeInr loanAmountInr loanType createdAt }
    }
  }`;

export const lookUpDocument = `
  query LookUp($id: ID!) {
    application(id: $id) {
      id status version cibilScore
      decision { outcome decidedBy decidedAt policyVersion reasons { code message } }
      history { version status actor occurredAt reasons { code } }
    }
  }`;

export const watchDocument = `
  subscription Watch($id: ID!, $after: Int) {
    applicationStatus(id: $id, after: $after) { applicationId status version cibilScore final reasons { code message } }
  }`;

type Update = {
  applicationId: string;
  status: string;
  version: number;
  cibilScore: number | null;
  final: boolean;
  reasons: { code: string; message: string }[];
};

/** Submits and answers the id. */
export async function submit(client: TestClient, input: Record<string, unknown> = {}): Promise<string> {
  const { data, errors } = await client.request(submitDocument, { input: { ...goodInput, ...input } });
  expect(errors).toBeUndefined();
  return data.submitApplication.application.id;
}

/** Watches until the stream completes and answers every update. */
export async function watchToEnd(
  client: TestClient,
  id: string,
  { transport = 'ws', after }: { transport?: 'ws' | 'sse'; after?: number } = {},
): Promise<Update[]> {
  const updates: Update[] = [];
  for await (const result of client.subscribe(transport, watchDocument, { id, after })) {
    expect(result.errors).toBeUndefined();
    updates.push(result.data.applicationStatus);
  }
  return updates;
}
