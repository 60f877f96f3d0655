import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test as base, expect } from 'vitest';
import { createLink, type Link } from './tcp-proxy.ts';

/** A server that answers what it is sent, behind a link. */
const test = base.extend<{ link: Link; client: Socket }>({
  // oxlint-disable-next-line eslint/no-empty-pattern -- vitest reads the parameter's pattern
  link: async ({}, use) => {
    const server = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    await using link = await createLink({ name: 'link', port: 0, to: port });
    await use(link);
    server.close();
  },
  client: async ({ link }, use) => {
    const client = connect({ port: link.port, host: '127.0.0.1' });
    await once(client, 'connect');
    await use(client);
    client.destroy();
  },
});

async function answerTo(client: Socket, text: string): Promise<string> {
  client.write(text);
  const [answer] = (await once(client, 'data')) as [Buffer];
  return answer.toString();
}

test('passes both directions, and the end', async ({ client }) => {
  expect(await answerTo(client, 'hello')).toBe('hello');
  client.end();
  await once(client, 'close');
});

test('a cut is a reset', async ({ link, client }) => {
  expect(await answerTo(client, 'hello')).toBe('hello');
  link.cut();
  await expect(once(client, 'close')).rejects.toMatchObject({ code: 'ECONNRESET' });
});

test('what was held arrives when the link is free again', async ({ link, client }) => {
  link.hold(true);
  const answer = answerTo(client, 'hello');
  const nothing = new Promise((resolve) => {
    setTimeout(resolve, 100, 'nothing');
  });
  expect(await Promise.race([answer, nothing])).toBe('nothing');
  link.hold(false);
  expect(await answer).toBe('hello');
});

test('a delay delays each direction', async ({ link, client }) => {
  link.delayMs(60);
  const startedAt = performance.now();
  expect(await answerTo(client, 'hello')).toBe('hello');
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(115);
});

test('the client of a half-open connection learns of it when it speaks, and not before', async ({ link, client }) => {
  expect(await answerTo(client, 'hello')).toBe('hello');
  link.halfOpen();
  await new Promise((resolve) => {
    setTimeout(resolve, 50);
  });
  expect(client.destroyed).toBe(false);
  client.write('are you there?');
  await expect(once(client, 'close')).rejects.toMatchObject({ code: 'ECONNRESET' });
});

test('a refused connection is reset', async ({ link }) => {
  link.refuse(true);
  const client = connect({ port: link.port, host: '127.0.0.1' });
  await expect(once(client, 'close')).rejects.toMatchObject({ code: 'ECONNRESET' });
});
