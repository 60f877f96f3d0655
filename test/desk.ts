import { issueToken } from '@prequal/identity';
import { connectClient, type TestClient } from '@prequal/testing';
import { expect } from 'vitest';
import { test as base, lookUpDocument, submit, type TestStack } from './stack.ts';

const wishes = { ttlSeconds: 3_600, audience: 'prequal', rolesClaim: 'roles' };

/** The people behind the desk of one stack. */
export type Desk = {
  as: (subject: string, ...roles: string[]) => Promise<TestClient>;
  /** an application that an underwriter has to look at */
  borderline: (input?: Record<string, unknown>) => Promise<string>;
};

async function openDesk(stack: TestStack, owned: AsyncDisposableStack): Promise<Desk> {
  const gatewayUrl = stack.client.url.replace(/\/graphql$/, '');
  const dataDir = stack.envOf('gateway')['PREQUAL_DATA_DIR'] ?? '';
  return {
    as: async (subject, ...roles) =>
      owned.use(connectClient(gatewayUrl, await issueToken(dataDir, { ...wishes, subject, roles: roles as never }))),
    borderline: async (input = {}) => {
      const id = await submit(stack.client, { monthlyIncomeInr: '10000.00', ...input });
      await expect
        .poll(async () => (await stack.client.request(lookUpDocument, { id })).data.application.status, {
          timeout: 10_000,
        })
        .toBe('MANUAL_REVIEW');
      return id;
    },
  };
}

export const test = base.extend<{ $file: { desk: Desk } }>({
  desk: [
    async ({ stack }, use) => {
      await using owned = new AsyncDisposableStack();
      await use(await openDesk(stack, owned));
    },
    { scope: 'file' },
  ],
});
