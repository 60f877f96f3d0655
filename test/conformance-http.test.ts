import { serverAudits } from 'graphql-http';
import { describe, expect } from 'vitest';
import { test } from './stack.ts';

const audits = serverAudits({ url: 'http://unused.example/graphql' }).map(({ id, name }) => ({ id, name }));

/** Every audit of the specification's reference implementation: what it demands (MUST) and recommends (SHOULD, MAY). */
describe('GraphQL over HTTP', () => {
  test.for(audits)('$id $name', async ({ id }, { stack }) => {
    const audit = serverAudits({ url: stack.client.url }).find((candidate) => candidate.id === id);
    expect(await audit?.fn()).toMatchObject({ status: 'ok' });
  });

  test('the audits are all there', () => {
    expect(audits.filter(({ name }) => name.startsWith('MUST')).length).toBeGreaterThanOrEqual(10);
  });
});
