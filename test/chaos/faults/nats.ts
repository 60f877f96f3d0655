import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { durables, streams } from '@prequal/schema';
import type { System } from '../system.ts';
import type { Fault, World } from './fault.ts';

async function exclusively(world: World, work: (system: System) => Promise<void>): Promise<void> {
  using taken = world.take('nats');
  if (taken) await work(world.system);
  else world.note('skipped');
}

const backlogMs = 1_500;

/** Lets messages pile up first: a stream in which nothing waits has nothing to lose. */
async function withBacklog({ services }: System, work: () => Promise<void>): Promise<void> {
  const workers = services.filter(({ kind }) => kind === 'scoring');
  for (const worker of workers) worker.signal('SIGSTOP');
  try {
    await delay(backlogMs);
    await work();
  } finally {
    for (const worker of workers) worker.signal('SIGCONT');
  }
}

const storeOf = ({ natsStore }: System) => path.join(natsStore, 'jetstream');

export const natsFaults: Fault[] = [
  {
    name: 'nats-kill',
    run: (world, random) =>
      exclusively(world, ({ nats }) => nats.restart({ signal: 'SIGKILL', downMs: random.int(0, 4_000) })),
  },
  {
    name: 'nats-restart',
    run: (world, random) =>
      exclusively(world, ({ nats }) => nats.restart({ signal: 'SIGTERM', downMs: random.int(0, 2_000) })),
  },
  {
    name: 'nats-stop',
    run: (world, _random, lasts) =>
      exclusively(world, async ({ nats }) => {
        nats.signal('SIGSTOP');
        await lasts(8_000);
        nats.signal('SIGCONT');
      }),
  },
  {
    name: 'nats-wipe',
    losesMessages: true,
    run: (world, random) =>
      exclusively(world, (system) =>
        withBacklog(system, () =>
          system.nats.restart({
            signal: 'SIGKILL',
            downMs: random.int(0, 2_000),
            meanwhile: () => rm(storeOf(system), { recursive: true, force: true }),
          }),
        ),
      ),
  },
  {
    name: 'nats-rollback',
    losesMessages: true,
    run: (world, _random, lasts) =>
      exclusively(world, async (system) => {
        const store = storeOf(system);
        const earlier = `${store}-earlier`;
        await rm(earlier, { recursive: true, force: true });
        await system.nats.restart({
          signal: 'SIGTERM',
          downMs: 0,
          meanwhile: () => cp(store, earlier, { recursive: true }),
        });
        await lasts(4_000);
        const back = async () => {
          await rm(store, { recursive: true, force: true });
          await cp(earlier, store, { recursive: true });
        };
        await withBacklog(system, () => system.nats.restart({ signal: 'SIGKILL', downMs: 0, meanwhile: back }));
      }),
  },
  {
    name: 'consumer-delete',
    run: (world, random) =>
      exclusively(world, async ({ broker }) => {
        const { name, stream } = random.pick(durables);
        world.note('hits', { consumer: name });
        const { jsm } = await broker.jetStream();
        await jsm.consumers.delete(stream, name).catch(() => undefined);
      }),
  },
  {
    name: 'stream-delete',
    losesMessages: true,
    run: (world, random) =>
      exclusively(world, (system) =>
        withBacklog(system, async () => {
          const stream = random.pick(Object.keys(streams));
          world.note('hits', { stream });
          const { jsm } = await system.broker.jetStream();
          await jsm.streams.delete(stream).catch(() => undefined);
        }),
      ),
  },
];
