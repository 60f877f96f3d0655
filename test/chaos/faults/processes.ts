import type { ManagedService } from '../service.ts';
import type { Fault, World } from './fault.ts';

async function withService(
  world: World,
  services: readonly ManagedService[],
  work: (service: ManagedService) => Promise<void>,
): Promise<void> {
  for (const service of services) {
    using taken = world.take(service.name);
    if (!taken) continue;
    world.note('hits', { service: service.name });
    await work(service);
    return;
  }
}

export const processFaults: Fault[] = [
  {
    name: 'kill',
    run: (world, random) =>
      withService(world, random.some(world.system.services, 6), async (service) => void service.signal('SIGKILL')),
  },
  {
    // For longer than a worker may say nothing about a message.
    name: 'stop',
    run: (world, random, lasts) =>
      withService(world, random.some(world.system.services, 6), async (service) => {
        service.signal('SIGSTOP');
        await lasts(6_000);
        service.signal('SIGCONT');
      }),
  },
  {
    name: 'term',
    run: (world, random) => withService(world, random.some(world.system.services, 6), (service) => service.replace()),
  },
  {
    name: 'rolling-restart',
    run: async (world) => {
      using taken = world.take('rolling restart');
      if (!taken) return world.note('skipped');
      for (const service of world.system.services) {
        if (world.healing.aborted) return;
        await withService(world, [service], () => service.replace());
      }
    },
  },
];
