import { describe, expect } from 'vitest';
import { lookUpDocument, submit, test, watchDocument, watchToEnd } from './stack.ts';

describe.for(['ws', 'sse'] as const)('over %s', (transport) => {
  test('the current status comes at once, then each change, and the stream completes', async ({ stack }) => {
    const id = await submit(stack.client);
    const updates = await watchToEnd(stack.client, id, { transport });
    const versions = updates.map((update) => update.version);
    expect(versions).toEqual([1, 2].slice(-versions.length));
    expect(updates.at(-1)).toMatchObject({ applicationId: id, status: 'PRE_APPROVED', final: true });
  });

  test('a watcher on another gateway than the one that took the submission sees the decision', async ({ stack }) => {
    const paused = await stack.without('scoring');
    const id = await submit(stack.client);
    const stream = stack.otherClient.subscribe(transport, watchDocument, { id });
    expect((await stream.next()).value.data.applicationStatus).toMatchObject({
      status: 'PENDING',
      version: 1,
      final: false,
    });
    const pushed = stream.next();
    await paused[Symbol.asyncDispose]();
    expect((await pushed).value.data.applicationStatus).toMatchObject({
      status: 'PRE_APPROVED',
      version: 2,
      final: true,
    });
    expect(await stream.next()).toMatchObject({ done: true });
  });

  test('with after, what was seen is not sent again and nothing is missed', async ({ stack }) => {
    const id = await submit(stack.client);
    await watchToEnd(stack.client, id, { transport });
    const versionsAfter = async (after: number) =>
      (await watchToEnd(stack.client, id, { transport, after })).map((update) => update.version);
    expect(await versionsAfter(0)).toEqual([1, 2]);
    expect(await versionsAfter(1)).toEqual([2]);
    expect(await versionsAfter(2)).toEqual([]);
    expect(await versionsAfter(7)).toEqual([]);
  });

  test.for(['01890000-0000-7000-8000-000000000000', 'not an id', ''])('%j is NOT_FOUND', async (id, { stack }) => {
    const codes: unknown[] = [];
    try {
      for await (const { errors } of stack.client.subscribe(transport, watchDocument, { id })) {
        codes.push(errors?.[0]?.extensions?.['code']);
      }
    } catch (error) {
      // graphql-ws throws the errors of an operation that could not begin
      codes.push((error as { extensions: { code: string } }[])[0]?.extensions.code);
    }
    expect(codes).toEqual(['NOT_FOUND']);
  });
});

test('an id in capitals is the same id', async ({ stack }) => {
  const id = await submit(stack.client);
  const updates = await watchToEnd(stack.client, id.toUpperCase());
  expect(updates.at(-1)).toMatchObject({ applicationId: id, status: 'PRE_APPROVED' });
  const { data } = await stack.client.request(lookUpDocument, { id: id.toUpperCase() });
  expect(data.application.id).toBe(id);
});

test('the application of an update can be asked for in the same stream', async ({ stack }) => {
  const id = await submit(stack.client);
  const document =
    'subscription($id: ID!) { applicationStatus(id: $id) { version application { id status version } } }';
  let last: { version: number; application: unknown } | undefined;
  for await (const { data } of stack.client.subscribe('ws', document, { id })) last = data.applicationStatus;
  expect(last).toEqual({ version: 2, application: { id, status: 'PRE_APPROVED', version: 2 } });
});

test('one NATS subscription a watched application, however many watch it, released with the last', async ({
  stack,
  nats,
}) => {
  await using _paused = await stack.without('scoring');
  const id = await submit(stack.client);
  const streams = Array.from({ length: 10 }, (_, index) =>
    stack.client.subscribe(index % 2 === 0 ? 'ws' : 'sse', watchDocument, { id }),
  );
  await Promise.all(streams.map((stream) => stream.next()));
  const subscriptions = async () =>
    (await nats.connections()).flatMap(({ subscriptions: all }) => all.filter((subject) => subject.endsWith(id)));
  expect(await subscriptions()).toEqual([`loan.applications.status.${id}`]);
  for (const stream of streams.slice(1)) await stream.return?.();
  expect(await subscriptions()).toHaveLength(1);
  await streams[0]?.return?.();
  await expect.poll(subscriptions).toEqual([]);
});

test('an application nobody knows is null', async ({ stack }) => {
  for (const id of ['01890000-0000-7000-8000-000000000000', 'nonsense']) {
    const { data, errors } = await stack.client.request(lookUpDocument, { id });
    expect({ data, errors }).toEqual({ data: { application: null }, errors: undefined });
  }
});
