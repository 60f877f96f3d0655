import type { Random } from '../random.ts';
import type { Link } from '../tcp-proxy.ts';
import type { Fault, World } from './fault.ts';

/** Some links have it at once: one of a service, all of a server, or those of the clients. */
function someLinks({ system }: World, random: Random): Link[] {
  const { serverLinks, clientLinks } = system;
  const server = random.pick(['>nats', '>postgres']);
  const chosen = random.pick([
    random.some(serverLinks, 1),
    random.some(serverLinks, 3),
    serverLinks.filter(({ name }) => name.endsWith(server)),
    random.some(clientLinks, random.int(1, 2)),
  ]);
  return chosen;
}

function onLinks(work: (links: Link[], random: Random, lasts: () => Promise<void>) => Promise<void>): Fault['run'] {
  return async (world, random, lasts) => {
    const chosen = someLinks(world, random);
    const taken = chosen.map((link) => ({ link, hold: world.take(link.name) })).filter(({ hold }) => hold);
    world.note('hits', { links: taken.map(({ link }) => link.name) });
    try {
      await work(
        taken.map(({ link }) => link),
        random,
        () => lasts(6_000),
      );
    } finally {
      for (const { hold } of taken) hold?.[Symbol.dispose]();
    }
  };
}

export const linkFaults: Fault[] = [
  {
    name: 'link-cut',
    run: onLinks(async (links, random, lasts) => {
      const refused = random.chance(0.5);
      for (const link of links) {
        link.refuse(refused);
        link.cut();
      }
      if (refused) await lasts();
      for (const link of links) link.refuse(false);
    }),
  },
  {
    // Alone: what is decided meanwhile is published to everybody else.
    name: 'gateway-without-nats',
    run: async (world, random, lasts) => {
      const [link] = random.some(
        world.system.serverLinks.filter(({ name }) => /^gateway-.*>nats$/.test(name)),
        1,
      );
      using taken = link && world.take(link.name);
      if (!link || !taken) return world.note('skipped');
      world.note('hits', { links: [link.name] });
      link.refuse(true);
      link.cut();
      await lasts(6_000);
      link.refuse(false);
    },
  },
  {
    name: 'link-hold',
    run: onLinks(async (links, _random, lasts) => {
      for (const link of links) link.hold(true);
      await lasts();
      for (const link of links) link.hold(false);
    }),
  },
  {
    name: 'link-delay',
    run: onLinks(async (links, random, lasts) => {
      for (const link of links) link.delayMs(random.int(50, 400));
      await lasts();
      for (const link of links) link.delayMs(0);
    }),
  },
  {
    name: 'link-half-open',
    run: onLinks(async (links) => {
      for (const link of links) link.halfOpen();
    }),
  },
];
