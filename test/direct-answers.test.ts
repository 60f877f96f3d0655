import { startGateway } from '@prequal/gateway';
import { expect } from 'vitest';
import { inProduction, unknownId } from './edge.ts';
import { goodInput, lookUpDocument, test } from './stack.ts';

/** Everything that a client can tell, but for what differs from one request to the next. */
async function ask(url: string, accept: string, sent: unknown, headers: Record<string, string>) {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept, ...headers },
    body: typeof sent === 'string' ? sent : JSON.stringify(sent),
  });
  const told = Object.fromEntries(answer.headers);
  for (const name of ['date', 'x-correlation-id', 'content-length', 'transfer-encoding']) delete told[name];
  const text = await answer.text();
  return { status: answer.status, headers: told, text: text.replaceAll(/"correlationId":"[^"]*"/g, '') };
}

// Nothing of it changes while it is asked again and again.
const storeDocument = `mutation ($input: SubmitApplicationInput!) {
  submitApplication(input: $input) { replayed application { id maskedPan loanType } }
}`;
const key = { idempotencyKey: 'asked in both ways' };

test.for<[string, unknown, Record<string, string>?]>([
  ['a query', { query: '{ __typename }' }],
  ['an application that is not there', { query: lookUpDocument, variables: { id: unknownId } }],
  ['a submission', { query: storeDocument, variables: { input: { ...goodInput, ...key } } }],
  [
    'a key with another input',
    { query: storeDocument, variables: { input: { ...goodInput, loanType: 'HOME', ...key } } },
  ],
  ['faults of the input', { query: storeDocument, variables: { input: { ...goodInput, panNumber: 'ABCDE1234' } } }],
  ['no variables', { query: storeDocument }],
  ['a syntax error', { query: '{' }],
  ['a PAN in a wrong place', { query: '{ ABCDE1234F }' }],
  ['an unknown field', { query: '{ unknown }' }],
  ['an empty document', { query: '' }],
  ['an unknown operation', { query: 'query A { __typename }', operationName: 'B' }],
  ['two operations', { query: 'query A { __typename } query B { __typename }' }],
  ['variables that are none', { query: '{ __typename }', variables: [1] }],
  ['extensions that are none', { query: '{ __typename }', extensions: 'x' }],
  ['a parameter too many', { query: '{ __typename }', more: true }],
  ['a batch', [{ query: '{ __typename }' }]],
  ['no JSON', '{'],
  ['a subscription', { query: `subscription { applicationStatus(id: "${unknownId}") { status } }` }],
  ['what needs a token', { query: '{ policies { version } }' }],
  ['a forged token', { query: '{ __typename }' }, { authorization: 'Bearer a.b.c' }],
  ['no token at all', { query: '{ __typename }' }, { authorization: 'Basic x' }],
  ['a document that costs too much', { query: `{ ${'a: __typename '.repeat(40)} }` }],
])('%s is answered in the same words, whichever way', async ([, sent, headers = {}], { stack }) => {
  const { url } = stack.client;
  // Once before: a submission is a replay each time.
  await ask(url, 'application/json', sent, headers);
  for (const type of ['application/json', 'application/graphql-response+json']) {
    const direct = await ask(url, type, sent, headers);
    // Named twice it is the same to the library, and takes the other way.
    expect(direct).toEqual(await ask(url, `${type}, ${type}`, sent, headers));
    if (type === 'application/json') expect(await ask(url, '*/*', sent, headers)).toEqual(direct);
  }
});

test('so is what is beyond a limit', async ({ stack }) => {
  const env = { ...inProduction(stack.envOf('gateway')), GATEWAY_MAX_NEW_DOCUMENT_CHARS_PER_ADDRESS_PER_MINUTE: '20' };
  await using gateway = await startGateway(env);
  const sent = { query: `{ ${' '.repeat(20)} __typename }` };
  const withoutTime = ({ text, ...rest }: { text: string }) => ({ ...rest, text: text.replace(/\d+(?=[},])/g, 'n') });
  const [direct, through] = await Promise.all(
    ['*/*', 'application/json, application/json'].map(async (accept) => {
      const answer = await ask(`${gateway.url}/graphql`, accept, sent, {});
      return { ...withoutTime(answer), headers: { ...answer.headers, 'retry-after': '' } };
    }),
  );
  expect(direct).toMatchObject({ status: 429 });
  expect(direct).toEqual(through);
});

test.for(['', '\0', '\n', ' '])(
  'a document is not taken for a name and another document (%j)',
  async (between, { stack }) => {
    const { url } = stack.client;
    const [name, query] = ['{ __typename } #', 'query Z { __typename }'];
    for (const known of [`${name}${between}${query}`, `${name.length} ${name}${query}`]) {
      await ask(url, 'application/json', { query: known }, {});
    }
    const direct = await ask(url, 'application/json', { query, operationName: name }, {});
    expect(direct.text).toContain('OPERATION_RESOLUTION_FAILURE');
  },
);
