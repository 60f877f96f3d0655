import { type EventName, events } from './events.ts';
import {
  beginningOf,
  type ConsumerName,
  consumers,
  deadLetterConsumer,
  durables,
  outboxes,
  personalStreams,
  type StreamName,
  streams,
} from './pipeline.ts';

/** Whoever connects to NATS: each service, and the operator of the machine. */
export const natsUsers = ['gateway', 'scoring', 'decisioning', 'operator'] as const;
export type NatsUser = (typeof natsUsers)[number];

/** Subjects as a nats-server's configuration has them; what is not allowed is refused, and what is denied also. */
export type NatsPermissions = {
  publish: { allow: readonly string[]; deny?: readonly string[] };
  subscribe: { allow: readonly string[] };
};

/** Where the answers to a user's requests go. No other user may listen there. */
export function inboxPrefixOf(user: string): string {
  return `_INBOX.${user}`;
}

/**
 * What each user may do in NATS, from the pipeline map: the events it says, the durable consumers it reads, and its
 * own inbox. Decisioning also makes streams and consumers, but cannot delete or purge them, and it deletes single
 * messages where somebody's personal data is to be erased. The operator looks at
 * everything and mends it, but takes no message and no answer from a worker.
 */
export function permissionsOf(user: NatsUser): NatsPermissions {
  const inbox = `${inboxPrefixOf(user)}.>`;
  switch (user) {
    case 'gateway':
      return {
        publish: { allow: outboxes.gateway.map(subjectsOf) },
        subscribe: { allow: [subjectsOf('statusChanged'), inbox] },
      };
    case 'scoring':
      return {
        publish: { allow: [...consumers.scoring.emits.map(subjectsOf), ...working('scoring')] },
        subscribe: { allow: [inbox] },
      };
    case 'decisioning':
      return {
        publish: {
          allow: [
            ...outboxes.decisioning.map(subjectsOf),
            ...working('decisioning'),
            ...pulling(deadLetterConsumer),
            attempts(deadLetterConsumer.name),
            ...provisioning(),
            ...erasing(),
          ],
        },
        subscribe: { allow: [inbox] },
      };
    case 'operator':
      return {
        publish: {
          allow: ['loan.>', '$JS.API.>', '$JS.ACK.>'],
          deny: durables.flatMap(({ name, stream }) => [nextOf(name, stream), acknowledgementsOf(name, stream)]),
        },
        subscribe: { allow: ['loan.>', '$JS.EVENT.>', inbox] },
      };
    default:
      return user satisfies never;
  }
}

function subjectsOf(name: EventName): string {
  return `${events[name].subjectPrefix}.*`;
}

function working(name: ConsumerName): string[] {
  return [
    ...pulling({ name, stream: consumers[name].stream }),
    `loan.dlq.${name}.*`,
    attempts(name),
    // Of all consumers: these requests name the subject in their content, which permissions do not see.
    '$JS.API.STREAM.MSG.GET.LOAN_ATTEMPTS',
    '$JS.API.STREAM.PURGE.LOAN_ATTEMPTS',
  ];
}

function attempts(consumer: string): string {
  return `loan.attempts.${consumer}.*`;
}

function pulling({ name, stream }: { name: string; stream: StreamName }): string[] {
  return [`$JS.API.CONSUMER.INFO.${stream}.${name}`, nextOf(name, stream), acknowledgementsOf(name, stream)];
}

function nextOf(name: string, stream: StreamName): string {
  return `$JS.API.CONSUMER.MSG.NEXT.${stream}.${name}`;
}

function acknowledgementsOf(name: string, stream: StreamName): string {
  return `$JS.ACK.${stream}.${name}.>`;
}

function provisioning(): string[] {
  return [
    ...Object.keys(streams).flatMap((stream) =>
      ['INFO', 'CREATE', 'UPDATE'].map((action) => `$JS.API.STREAM.${action}.${stream}`),
    ),
    ...durables.flatMap(({ name, stream }) => [
      `$JS.API.CONSUMER.INFO.${stream}.${name}`,
      // Older servers and newer ones are asked in different ways.
      `$JS.API.CONSUMER.DURABLE.CREATE.${stream}.${name}`,
      `$JS.API.CONSUMER.CREATE.${stream}.${name}`,
      `$JS.API.CONSUMER.CREATE.${stream}.${beginningOf(name)}`,
    ]),
  ];
}

// To find a message by its subject and overwrite it: purging would leave its bytes on the disk.
function erasing(): string[] {
  return personalStreams.flatMap((stream) => [
    `$JS.API.STREAM.MSG.GET.${stream}`,
    `$JS.API.STREAM.MSG.DELETE.${stream}`,
  ]);
}
