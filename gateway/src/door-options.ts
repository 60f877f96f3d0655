import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { createAllowances } from './allowances.ts';
import type { GatewayConfig } from './config.ts';
import type { ServerOptions } from './server.ts';
import { createStreamPlaces } from './stream-limits.ts';

/** What is silent for longer is closed by many a proxy, and a client that is gone is noticed within two of them. */
const pingPeriodMs = 12_000;

/** What the configuration says about the gateway's door. */
export function doorOptions(config: GatewayConfig) {
  const trustedProxies = config.GATEWAY_TRUSTED_PROXIES;
  return {
    address: { host: config.GATEWAY_HOST, port: config.GATEWAY_PORT },
    maxBodyBytes: config.GATEWAY_MAX_BODY_BYTES,
    allowedOrigins: config.CORS_ORIGINS,
    isSynthetic: syntheticCheck(config.SYNTHETIC_TOKEN),
    trustedProxies,
    hasGraphiql: config.NODE_ENV !== 'production',
    places: createStreamPlaces({
      perAddress: config.GATEWAY_MAX_STREAMS_PER_ADDRESS,
      total: config.GATEWAY_MAX_STREAMS,
      socketsPerAddressPerMinute: config.GATEWAY_MAX_SOCKETS_PER_ADDRESS_PER_MINUTE,
    }),
    slowClients: { maxWaitingBytes: config.GATEWAY_SLOW_CLIENT_BYTES, maxSlowMs: config.GATEWAY_SLOW_CLIENT_MS },
    requests: createAllowances(config.GATEWAY_MAX_REQUESTS_PER_ADDRESS_PER_SECOND, 1_000),
    sockets: {
      maxFrameBytes: config.GATEWAY_MAX_FRAME_BYTES,
      maxSubscriptions: config.GATEWAY_MAX_SUBSCRIPTIONS_PER_SOCKET,
      maxMessagesPerSecond: config.GATEWAY_MAX_SOCKET_MESSAGES_PER_SECOND,
      initTimeoutMs: config.GATEWAY_INIT_TIMEOUT_MS,
      pingPeriodMs,
    },
  } satisfies Partial<ServerOptions>;
}

function syntheticCheck(token: string | undefined): (request: IncomingMessage) => boolean {
  if (token === undefined) return () => false;
  const expected = Buffer.from(token);
  return (request) => {
    const given = Buffer.from(String(request.headers['x-prequal-synthetic'] ?? ''));
    return given.length === expected.length && timingSafeEqual(given, expected);
  };
}
