import { text } from 'node:stream/consumers';
import { createClient } from 'graphql-sse';
import { describe, expect } from 'vitest';
import { unknownId } from './edge.ts';
import { submit, type TestStack, test, watchDocument, watchToEnd } from './stack.ts';

const stream = (stack: TestStack, query: string, variables = {}) =>
  fetch(stack.client.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify({ query, variables }),
  });

/** The events of a whole stream: name and data, without comments. */
const eventsOf = async (answer: Response) =>
  (await text(answer.body as never))
    .split('\n\n')
    .map((block) => block.split('\n').filter((line) => !line.startsWith(':')))
    .filter((lines) => lines.some(Boolean))
    .map((lines) => [
      lines
        .find((line) => line.startsWith('event:'))
        ?.slice(6)
        .trim(),
      lines
        .find((line) => line.startsWith('data:'))
        ?.slice(5)
        .trim(),
    ]);

describe('GraphQL over SSE, distinct connections mode', () => {
  test('results are next events, and complete is the last', async ({ stack }) => {
    const id = await submit(stack.client);
    const answer = await stream(stack, watchDocument, { id });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(answer.headers.get('cache-control')).toMatch(/no-(store|cache)/);
    expect(answer.headers.get('x-accel-buffering')).toBe('no');
    const events = await eventsOf(answer);
    expect(events.slice(0, -1).map(([name]) => name)).toEqual(events.slice(0, -1).map(() => 'next'));
    expect(JSON.parse(events.at(-2)?.[1] ?? '')).toMatchObject({ data: { applicationStatus: { final: true } } });
    expect(events.at(-1)?.[0]).toBe('complete');
  });

  test.for<[string, string, string]>([
    ['a document that is not GraphQL', 'subscription {', 'GRAPHQL_PARSE_FAILED'],
    ['one that does not fit the schema', 'subscription { nothing }', 'GRAPHQL_VALIDATION_FAILED'],
    ['one that nests too deeply', `subscription { ${'a { '.repeat(30)}b${' }'.repeat(31)}`, 'QUERY_TOO_COMPLEX'],
    ['input that is wrong', 'subscription { applicationStatus(id: {a: 1}) { status } }', 'VALIDATION_FAILED'],
    ['what is not there', `subscription { applicationStatus(id: "${unknownId}") { status } }`, 'NOT_FOUND'],
    ['what is not for a stream', '{ __typename }', 'BAD_REQUEST'],
  ])('%s is told by a next event', async ([_what, query, code], { stack }) => {
    const answer = await stream(stack, query);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      200,
      expect.stringMatching(/^text\/event-stream/),
    ]);
    const events = await eventsOf(answer);
    expect(events.map(([name]) => name)).toEqual(['next', 'complete']);
    expect(JSON.parse(events[0]?.[1] ?? '')).toMatchObject({ errors: [{ extensions: { code } }] });
  });

  test('its client gets every update and then the end', async ({ stack }) => {
    const id = await submit(stack.client);
    const updates = await watchToEnd(stack.client, id, { transport: 'sse' });
    expect(updates.at(-1)).toMatchObject({ final: true, status: 'PRE_APPROVED' });
  });

  test('it works by GET, as an EventSource asks', async ({ stack }) => {
    const id = await submit(stack.client);
    const parameters = new URLSearchParams({ query: watchDocument, variables: JSON.stringify({ id }) });
    const answer = await fetch(`${stack.client.url}?${parameters}`, { headers: { accept: 'text/event-stream' } });
    expect((await eventsOf(answer)).at(-1)?.[0]).toBe('complete');
  });

  test('a client that leaves ends its stream, and what it watched is let go', async ({ stack }) => {
    await using _paused = await stack.without('scoring');
    const id = await submit(stack.client);
    const metrics = stack.client.url.replace('/graphql', '/metrics');
    const watched = async () =>
      /^prequal_watched_applications\S* (\d+)$/m.exec(await (await fetch(metrics)).text())?.[1];
    const client = createClient({ url: stack.client.url, retryAttempts: 0 });
    const updates = client.iterate({ query: watchDocument, variables: { id } });
    await updates.next();
    expect(await watched()).toBe('1');
    await updates.return?.();
    await expect.poll(watched).toBe('0');
    client.dispose();
  });
});
