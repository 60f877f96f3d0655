import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const repoRoot = path.resolve(import.meta.dirname, '..');

/**
 * Production settings, but for what would stop one machine from playing many clients: the limits of one address.
 * Callers are anonymous, as an applicant's page is, and the bureau is the simulated one.
 */
export function productionEnv(): NodeJS.ProcessEnv {
  const key = () => `bench-1:${randomBytes(32).toString('base64')}`;
  const { PATH, HOME } = process.env;
  return {
    PATH,
    HOME,
    NODE_ENV: 'production',
    NODE_COMPILE_CACHE: path.join(repoRoot, '.data', 'cache', 'compiled'),
    NODE_OPTIONS: optionsOfImage(),
    LOG_LEVEL: 'info',
    PAN_ENCRYPTION_KEYS: key(),
    PAN_INDEX_KEYS: key(),
    AUTH_ISSUER: 'https://login.example.com',
    ALLOW_ANONYMOUS: 'on',
    GATEWAY_PORT: '0',
    SCORING_PORT: '0',
    DECISIONING_PORT: '0',
    GATEWAY_MAX_NEW_DOCUMENT_CHARS_PER_ADDRESS_PER_MINUTE: '0',
    GATEWAY_MAX_REQUESTS_PER_ADDRESS_PER_SECOND: '0',
    GATEWAY_MAX_SUBSCRIPTIONS_PER_SOCKET: '0',
    GATEWAY_MAX_SOCKET_MESSAGES_PER_SECOND: '0',
    GATEWAY_MAX_SOCKETS_PER_ADDRESS_PER_MINUTE: '0',
    GATEWAY_MAX_STREAMS_PER_ADDRESS: '0',
    GATEWAY_MAX_STREAMS: '20000',
    GATEWAY_MAX_SUBMISSIONS_PER_CALLER_PER_HOUR: '0',
    GATEWAY_MAX_SUBMISSIONS_PER_ADDRESS_PER_HOUR: '0',
    GATEWAY_MAX_SUBMISSIONS_PER_PAN_PER_DAY: '0',
  };
}

/** What our image starts Node with. */
function optionsOfImage(): string {
  const options = /^ENV NODE_OPTIONS="(.+)"$/m.exec(readFileSync(path.join(repoRoot, 'Dockerfile'), 'utf8'))?.[1];
  if (options === undefined) throw new Error('the Dockerfile has no line ENV NODE_OPTIONS="..."');
  return options;
}
