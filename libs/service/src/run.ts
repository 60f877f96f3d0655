import { ConfigError } from './config.ts';
import type { Logger } from './log.ts';

/** A running service: where it listens, and how to stop it in order. */
export type Service = AsyncDisposable & { url: string; log: Logger };

const stopLimitMs = 10_000;
/** After all was let go: time for what is on its way, e.g. a connection that its dead peer does not close. */
const lingerMs = 1_000;

/**
 * The life of a service process: starts it, tells the parent its address, and stops it in order on
 * SIGTERM, SIGINT or when the parent is gone. Exits 0 after an orderly stop, also when something then stays
 * open by itself, 1 when the start failed or the stop took longer than 10 s. An error nobody caught is a broken invariant: the process ends, and
 * whoever runs it starts a new one.
 */
export async function run(start: (env: NodeJS.ProcessEnv) => Promise<Service>): Promise<void> {
  const stopAsked = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
    // Started by a runner that was killed: without it nobody would ever stop this process.
    process.once('disconnect', () => resolve('the runner is gone'));
  });
  let service: Service | undefined;
  try {
    service = await Promise.race([start(process.env), stopAsked.then(() => undefined)]);
  } catch (error) {
    console.error(describe(error));
    process.exit(1);
  }
  // Stopped while still waiting for a server: nothing was begun that would have to be finished.
  if (!service) process.exit(0);
  const { log } = service;
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'broken invariant, ending the process');
    process.exit(1);
  });
  process.send?.({ listening: service.url });
  log.info({ url: service.url }, 'listening');

  const reason = await stopAsked;
  log.info({ reason }, 'stopping');
  const limit = setTimeout(() => {
    log.error({ stopLimitMs }, 'the stop took too long, ending the process');
    process.exit(1);
  }, stopLimitMs).unref();
  await service[Symbol.asyncDispose]();
  log.info('stopped');
  clearTimeout(limit);
  setTimeout(() => {
    log.warn({ open: process.getActiveResourcesInfo().join(' ') }, 'something is still open, ending the process');
    process.exit(0);
  }, lingerMs).unref();
  // Without a channel there is nothing to close, and closing it twice would be an error.
  if (process.connected) process.disconnect();
}

// An error's other properties stay out: that of an invalid URL repeats the URL, password included.
function describe(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  if (!(error instanceof Error)) return 'a value that is no Error was thrown';
  const cause = error.cause instanceof Error && error.cause !== error ? `\ncaused by ${describe(error.cause)}` : '';
  return `${error.stack ?? error.message}${cause}`;
}
