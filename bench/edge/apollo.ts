import { ApolloServer } from '@apollo/server';
import { startStandaloneServer } from '@apollo/server/standalone';
import { createSchema } from '@prequal/schema/graphql';
import { createLog, run } from '@prequal/service';
import { context } from './answer.ts';

/** The same schema and resolvers on Apollo Server as its documentation starts it. */
await run(async (env) => {
  const server = new ApolloServer({ schema: createSchema() });
  const { url } = await startStandaloneServer(server, {
    listen: { host: '127.0.0.1', port: Number(env['GATEWAY_PORT']) },
    context: async () => context,
  });
  const address = url.replace(/\/$/, '');
  return { url: address, log: createLog('apollo', 'fatal'), [Symbol.asyncDispose]: () => server.stop() };
});
