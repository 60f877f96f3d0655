import { randomUUID } from 'node:crypto';
import { createEvent, encodeEvent, streams, subjectOf } from '@prequal/schema';
import type { Fault, World } from './fault.ts';

type EventName = Parameters<typeof subjectOf>[0];
type Poison = { errorClass: string; event: EventName; payload: (applicationId: string) => string };

const trace = { correlationId: 'chaos', traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` };

function soundReport(applicationId: string): string {
  const event = createEvent('creditReportGenerated', {
    id: randomUUID(),
    source: 'chaos',
    applicationId,
    time: new Date(),
    trace,
    data: { report: { result: 'SCORED', score: 700, bureau: 'simulated' } },
  });
  return encodeEvent('creditReportGenerated', event);
}

const both = ['applicationSubmitted', 'creditReportGenerated'] as const;
const poisons: Poison[] = [
  ...both.flatMap((event): Poison[] => [
    { errorClass: 'INVALID_MESSAGE', event, payload: () => '{"specversion":' },
    { errorClass: 'INVALID_MESSAGE', event, payload: (id) => soundReport(id).replace('"1.0"', '"9.9"') },
    { errorClass: 'INVALID_MESSAGE', event, payload: (id) => soundReport(id).replace('.v1"', '.v9"') },
    { errorClass: 'INVALID_MESSAGE', event, payload: (id) => soundReport(id).replace('700', '"many"') },
    { errorClass: 'INVALID_MESSAGE', event, payload: () => 'x'.repeat(900_000) },
  ]),
  { errorClass: 'UNKNOWN_APPLICATION', event: 'creditReportGenerated', payload: soundReport },
];

type Publish = ReturnType<World['system']['broker']['connectedJetStream']>['publish'];
type Payload = Parameters<Publish>[1];
type Options = Parameters<Publish>[2];

async function publish({ system }: World, subject: string, payload: Payload, options: Options = {}): Promise<boolean> {
  try {
    const js = system.broker.connectedJetStream();
    await js.publish(subject, payload, { ...options, msgID: randomUUID(), timeout: 5_000 });
    return true;
  } catch {
    return false;
  }
}

const mostReplayed = 1_000;

/** Everything in the stream once more, under other message ids: the broker's deduplication does not help. */
async function replay(world: World, stream: string): Promise<number> {
  const { js } = await world.system.broker.jetStream();
  const consumer = await js.consumers.get(stream);
  const messages = await consumer.fetch({ max_messages: mostReplayed, expires: 2_000 });
  let count = 0;
  for await (const message of messages) {
    const options = message.headers ? { headers: message.headers } : {};
    if (!(await publish(world, message.subject, message.data, options))) break;
    count += 1;
  }
  return count;
}

export const messageFaults: Fault[] = [
  {
    name: 'poison',
    run: async (world, random) => {
      for (const { errorClass, event, payload } of random.some(poisons, 3)) {
        const id = randomUUID();
        const subject = subjectOf(event, id);
        if (await publish(world, subject, payload(id))) {
          world.planted.push({ subject, errorClass, atMs: world.nowMs() });
          world.note('planted', { subject, errorClass });
        }
      }
    },
  },
  {
    name: 'handler-throws',
    run: async ({ load }) => load.submitMarked('throws'),
  },
  {
    name: 'handler-exits',
    early: true,
    run: async ({ load }) => load.submitMarked('exits'),
  },
  {
    name: 'handler-blocks',
    early: true,
    run: async ({ load }) => load.submitMarked('blocks'),
  },
  {
    name: 'no-history',
    run: async ({ load }) => load.submitMarked('noHistory'),
  },
  {
    name: 'replay',
    run: async (world, random) => {
      const stream = random.pick(Object.keys(streams).filter((name) => name !== 'LOAN_ATTEMPTS'));
      const count = await replay(world, stream).catch(() => 0);
      world.note('hits', { stream, count });
    },
  },
];
