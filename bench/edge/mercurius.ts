import { createSchema } from '@prequal/schema/graphql';
import { createLog, run } from '@prequal/service';
import Fastify from 'fastify';
import mercurius from 'mercurius';
import { context } from './answer.ts';

/** The same schema and resolvers on Mercurius as it is by default; with BENCH_JIT=1 it compiles documents. */
await run(async (env) => {
  const app = Fastify();
  await app.register(mercurius, {
    schema: createSchema(),
    context: () => context,
    jit: env['BENCH_JIT'] === '1' ? 1 : 0,
  });
  const url = await app.listen({ host: '127.0.0.1', port: Number(env['GATEWAY_PORT']) });
  return { url, log: createLog('mercurius', 'fatal'), [Symbol.asyncDispose]: () => app.close() };
});
