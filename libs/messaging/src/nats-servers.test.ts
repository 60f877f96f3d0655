import { expect, test } from 'vitest';
import { serversIn } from './nats-servers.ts';

test.each([
  ['nats://127.0.0.1:4222', { servers: ['127.0.0.1:4222'] }],
  ['nats://a:4222, nats://b:4222', { servers: ['a:4222', 'b:4222'] }],
  [
    'nats://scoring:secret@a:4222,nats://scoring:secret@b:4222',
    { servers: ['a:4222', 'b:4222'], user: 'scoring', pass: 'secret', inboxPrefix: '_INBOX.scoring' },
  ],
  // Of the first that has one.
  [
    'nats://a:4222,nats://scoring:secret@b:4222',
    { servers: ['a:4222', 'b:4222'], user: 'scoring', pass: 'secret', inboxPrefix: '_INBOX.scoring' },
  ],
  // What has a meaning in an address or in a subject.
  [
    'nats://an.other%20one:p%40ss%2Fw%3Ard@[::1]:4222',
    { servers: ['[::1]:4222'], user: 'an.other one', pass: 'p@ss/w:rd', inboxPrefix: '_INBOX.an_other_one' },
  ],
])('%s', (natsUrl, expected) => {
  expect(serversIn(natsUrl, undefined)).toEqual(expected);
});

test('a server named with tls is spoken to over TLS or not at all, with or without an authority of its own', () => {
  expect(serversIn('nats://a:4222', undefined)).not.toHaveProperty('tls');
  expect(serversIn('nats://a:4222,tls://b:4222', undefined)).toHaveProperty('tls');
  expect(serversIn('nats://a:4222', { ca: 'authority' })).toMatchObject({ tls: { ca: 'authority' } });
});
