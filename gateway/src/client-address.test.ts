import type { IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { clientAddress } from './client-address.ts';

const from = (peer: string, forwarded?: string) =>
  ({ socket: { remoteAddress: peer }, headers: { 'x-forwarded-for': forwarded } }) as unknown as IncomingMessage;

test.each<[string, string, string | undefined, number, string]>([
  ['without proxies the peer counts', '192.0.2.1', '203.0.113.7', 0, '192.0.2.1'],
  ['behind one, whom it was called by', '10.0.0.1', '203.0.113.7', 1, '203.0.113.7'],
  ['whatever the client wrote before', '10.0.0.1', '1.1.1.1, 203.0.113.7', 1, '203.0.113.7'],
  ['behind two, the one before the last', '10.0.0.1', '1.1.1.1, 203.0.113.7, 10.0.0.2', 2, '203.0.113.7'],
  ['who comes around the proxies counts himself', '192.0.2.1', undefined, 2, '192.0.2.1'],
  ['what is no address does not count', '10.0.0.1', 'unknown', 1, '10.0.0.1'],
  ['an IPv4 address in IPv6 is the same', '::ffff:192.0.2.1', undefined, 0, '192.0.2.1'],
  ['an IPv6 address stands for its network', '2001:db8:1:2:3:4:5:6', undefined, 0, '2001:db8:1:2::/64'],
  ['however it is written', '2001:0DB8:1:2::1', undefined, 0, '2001:db8:1:2::/64'],
  ['also with an interface', 'fe80::1%eth0', undefined, 0, 'fe80:0:0:0::/64'],
  ['the loopback', '::1', undefined, 0, '0:0:0:0::/64'],
])('%s', (_what, peer, forwarded, proxies, expected) => {
  expect(clientAddress(from(peer, forwarded), proxies)).toBe(expected);
});
