import { positiveInt } from '@prequal/service';
import { z } from 'zod';

const countRule = 'must be a whole number, 0 to 2147483647 (0 = no limit)';

/** A limit that can be taken away: 0 is none. */
function limitOrNone(defaultValue: number) {
  return z.coerce
    .number({ error: countRule })
    .int(countRule)
    .min(0, countRule)
    .max(2 ** 31 - 1, countRule)
    .default(defaultValue)
    .transform((limit) => (limit === 0 ? Number.POSITIVE_INFINITY : limit));
}

const onOrOff = z.enum(['on', 'off'], { error: 'must be on or off' });

/** What one caller may ask of the gateway, on whatever transport. The defaults are those of production. */
export const limitsConfig = {
  GATEWAY_MAX_BODY_BYTES: positiveInt(32 * 1024),
  GATEWAY_MAX_DOCUMENT_CHARS: positiveInt(10_000),
  /** the API's own examples have fewer than a hundred, GraphiQL's introspection four hundred */
  GATEWAY_MAX_DOCUMENT_TOKENS: positiveInt(1_000),
  GATEWAY_MAX_DOCUMENT_DEPTH: positiveInt(10),
  /** this and the following are counted with every fragment put where it is spread */
  GATEWAY_MAX_DOCUMENT_FIELDS: positiveInt(250),
  GATEWAY_MAX_DOCUMENT_ALIASES: positiveInt(30),
  GATEWAY_MAX_DOCUMENT_DIRECTIVES: positiveInt(30),
  GATEWAY_MAX_DOCUMENT_SPREADS: positiveInt(100),
  /** a field costs 1, what stands below a list ten times as much, since it is asked of every item */
  GATEWAY_MAX_DOCUMENT_COST: positiveInt(5_000),
  /** of documents that this gateway has not seen before: checking one that is at the limits takes some 70 ms */
  GATEWAY_MAX_NEW_DOCUMENT_CHARS_PER_ADDRESS_PER_MINUTE: limitOrNone(100_000),
  GATEWAY_MAX_VARIABLES_CHARS: positiveInt(16 * 1024),
  GATEWAY_MAX_VARIABLES_DEPTH: positiveInt(5),
  GATEWAY_MAX_VARIABLES_LIST: positiveInt(100),
  GATEWAY_INTROSPECTION: onOrOff.default('off'),
  /** a JSON file, {"<sha256 of the document, hex>": "<document>"}: then no other document is run */
  GATEWAY_TRUSTED_DOCUMENTS: z.string().optional(),
  /** requests over HTTP and operations over WebSocket together */
  GATEWAY_MAX_REQUESTS_PER_ADDRESS_PER_SECOND: limitOrNone(50),
  GATEWAY_MAX_FRAME_BYTES: positiveInt(16 * 1024),
  GATEWAY_MAX_SUBSCRIPTIONS_PER_SOCKET: limitOrNone(20),
  GATEWAY_MAX_SOCKET_MESSAGES_PER_SECOND: limitOrNone(100),
  GATEWAY_MAX_SOCKETS_PER_ADDRESS_PER_MINUTE: limitOrNone(120),
  /** sockets and SSE responses together */
  GATEWAY_MAX_STREAMS_PER_ADDRESS: limitOrNone(200),
  GATEWAY_MAX_STREAMS: positiveInt(10_000),
  GATEWAY_INIT_TIMEOUT_MS: positiveInt(3_000),
  /** a client for whom more than this waits, for longer than the time below, is cut; it can resume */
  GATEWAY_SLOW_CLIENT_BYTES: positiveInt(8 * 1024),
  GATEWAY_SLOW_CLIENT_MS: positiveInt(15_000),
  /** how many proxies stand between a client and the gateway, each adding an address to `x-forwarded-for` */
  GATEWAY_TRUSTED_PROXIES: z.coerce.number().int().min(0).max(10).default(0),
  GATEWAY_MAX_SUBMISSIONS_PER_CALLER_PER_HOUR: limitOrNone(60),
  GATEWAY_MAX_SUBMISSIONS_PER_ADDRESS_PER_HOUR: limitOrNone(600),
  GATEWAY_MAX_SUBMISSIONS_PER_PAN_PER_DAY: limitOrNone(10),
  GATEWAY_MAX_WAITING_SUBMISSIONS: positiveInt(10_000),
  GATEWAY_MAX_EVENT_LOOP_DELAY_MS: limitOrNone(500),
};

type LimitName = keyof typeof limitsConfig;

/** On one machine everybody has the same address, and load tests and GraphiQL have to work as they are. */
const developmentLimits: Partial<Record<LimitName, string>> = {
  GATEWAY_INTROSPECTION: 'on',
  GATEWAY_MAX_NEW_DOCUMENT_CHARS_PER_ADDRESS_PER_MINUTE: '0',
  GATEWAY_MAX_REQUESTS_PER_ADDRESS_PER_SECOND: '0',
  GATEWAY_MAX_SUBSCRIPTIONS_PER_SOCKET: '2000',
  GATEWAY_MAX_SOCKET_MESSAGES_PER_SECOND: '5000',
  GATEWAY_MAX_SOCKETS_PER_ADDRESS_PER_MINUTE: '0',
  GATEWAY_MAX_STREAMS_PER_ADDRESS: '0',
  GATEWAY_MAX_SUBMISSIONS_PER_CALLER_PER_HOUR: '0',
  GATEWAY_MAX_SUBMISSIONS_PER_ADDRESS_PER_HOUR: '0',
  GATEWAY_MAX_SUBMISSIONS_PER_PAN_PER_DAY: '0',
  GATEWAY_MAX_EVENT_LOOP_DELAY_MS: '0',
};

/** The environment with the development limits where it names none, unless it is that of production. */
export function withDevelopmentLimits(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  if (env['NODE_ENV'] === 'production') return env;
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== '' && value !== undefined));
  return { ...developmentLimits, ...given };
}
