import { registerHooks } from 'node:module';
import { run } from '@prequal/service';

/**
 * The scoring worker as it is, but for its bureau: for applications that are marked it throws, ends the process
 * or blocks it. What the worker imports is exchanged here, so that its own code has no place for such things.
 */
const bureau = '/scoring/src/bureau/simulated.ts';

registerHooks({
  resolve: (specifier, context, nextResolve) => {
    const resolved = nextResolve(specifier, context);
    const isOurs = context.parentURL?.endsWith('/test/chaos/faulty-bureau.ts') === true;
    if (isOurs || !resolved.url.endsWith(bureau)) return resolved;
    return { ...resolved, url: new URL('./faulty-bureau.ts', import.meta.url).href };
  },
});

const { startScoring } = await import('@prequal/scoring');
await run(startScoring);
