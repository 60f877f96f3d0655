import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { startLoad } from './load-process.ts';
import { startServers } from './servers.ts';
import { usageOf } from './usage.ts';

const folder = await mkdtemp('/tmp/prequal-zz-');
await chmod(folder, 0o755);
const onSpawn = () => {};
const none = { NATS_URL: 'nats://127.0.0.1:1', DATABASE_URL: 'postgres://none/none' };
try {
  await using servers = await startServers({ folder, onSpawn, profilesTo: undefined });
  await using load = await startLoad('load', onSpawn);
  const all = await Promise.all(
    [{}, { NODE_OPTIONS: '--v8-pool-size=4' }, {}, { NODE_OPTIONS: '--v8-pool-size=4' }].map(async (env, i) => ({
      env,
      n: 0,
      out: [] as string[],
      s: await servers.startProcess({ entry: 'edge/gateway.ts', env: { ...none, ...env }, name: `edge-${i}` }),
    })),
  );
  for (let i = 0; i < 10; i++)
    for (const one of all) {
      const r = await load.run('requests', {
        url: `${one.s.address}/graphql`,
        kind: i % 2 ? 'query' : 'submit',
        connections: 64,
        seconds: 3,
      });
      one.n += r.answered;
      one.out.push(
        `${one.n}: ${Math.round((await usageOf([one.s.metered])).values().next().value!.memoryBytes / 1e6)}`,
      );
    }
  for (const one of all) console.log(JSON.stringify(one.env), one.out.join(' | '));
} finally {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
}
