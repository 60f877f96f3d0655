import { randomUUID } from 'node:crypto';
import {
  attemptsSubject,
  deadLetterSubject,
  durables,
  inboxPrefixOf,
  type NatsUser,
  natsUsers,
  type StreamName,
  streams,
  subjectOf,
} from '@prequal/schema';
import { test as base, type TestNats } from '@prequal/testing';
import { connect, type NatsConnection, NatsError } from 'nats';
import { describe, expect, vi } from 'vitest';
import { provision } from './provision.ts';

const id = randomUUID();
const streamNames = Object.keys(streams) as StreamName[];
const eventSubjects = {
  submitted: subjectOf('applicationSubmitted', id),
  report: subjectOf('creditReportGenerated', id),
  status: subjectOf('statusChanged', id),
};
const consumerNames = durables.map(({ name }) => name);

type Rule = readonly [subject: string, by: readonly NatsUser[]];

const provisioners: readonly NatsUser[] = ['decisioning', 'operator'];
const workerOf = (consumer: string): NatsUser => (consumer === 'scoring' ? 'scoring' : 'decisioning');

const workersAndOperator: readonly NatsUser[] = ['scoring', 'decisioning', 'operator'];
const holdsPersonalData = (stream: StreamName) => ['LOAN_APPLICATIONS', 'LOAN_DLQ'].includes(stream);

function readersOf(stream: StreamName): readonly NatsUser[] {
  if (stream === 'LOAN_ATTEMPTS') return workersAndOperator;
  return holdsPersonalData(stream) ? provisioners : ['operator'];
}

/** Whatever there is to be published, and by whom: everybody else must be refused. */
const published: readonly Rule[] = [
  [eventSubjects.submitted, ['gateway', 'operator']],
  [eventSubjects.report, ['scoring', 'decisioning', 'operator']],
  [eventSubjects.status, ['gateway', 'decisioning', 'operator']],
  [`${eventSubjects.status}.more`, ['operator']],
  [deadLetterSubject('scoring', id), ['scoring', 'operator']],
  [deadLetterSubject('decisioning', id), ['decisioning', 'operator']],
  [deadLetterSubject('dead-letters', id), ['operator']],
  ...consumerNames.map((name): Rule => [attemptsSubject(name, id), [workerOf(name), 'operator']]),
  ['anything.else', []],
  ['$SYS.REQ.SERVER.PING', []],
  ...natsUsers.map((user): Rule => [`${inboxPrefixOf(user)}.answer`, []]),
  // Requests to the broker itself.
  ['$JS.API.INFO', ['operator']],
  ['$JS.API.STREAM.NAMES', ['operator']],
  ['$JS.API.STREAM.LIST', ['operator']],
  ['$JS.API.STREAM.CREATE.OTHER', ['operator']],
  ...streamNames.flatMap((stream): Rule[] => [
    ...['INFO', 'CREATE', 'UPDATE'].map((action): Rule => [`$JS.API.STREAM.${action}.${stream}`, provisioners]),
    ...['DELETE', 'SNAPSHOT', 'RESTORE'].map((action): Rule => [`$JS.API.STREAM.${action}.${stream}`, ['operator']]),
    [`$JS.API.STREAM.PURGE.${stream}`, stream === 'LOAN_ATTEMPTS' ? workersAndOperator : ['operator']],
    [`$JS.API.STREAM.MSG.GET.${stream}`, readersOf(stream)],
    // To erase somebody's personal data.
    [`$JS.API.STREAM.MSG.DELETE.${stream}`, holdsPersonalData(stream) ? provisioners : ['operator']],
    [`$JS.API.DIRECT.GET.${stream}`, ['operator']],
    [`$JS.API.CONSUMER.LIST.${stream}`, ['operator']],
    [`$JS.API.CONSUMER.CREATE.${stream}`, ['operator']],
    [`$JS.API.CONSUMER.CREATE.${stream}.spy`, ['operator']],
    [`$JS.API.CONSUMER.MSG.NEXT.${stream}.spy`, ['operator']],
  ]),
  ...durables.flatMap(({ name, stream }): Rule[] => [
    [`$JS.API.CONSUMER.MSG.NEXT.${stream}.${name}`, [workerOf(name)]],
    [`$JS.ACK.${stream}.${name}.1.1.1.1700000000000000000.0`, [workerOf(name)]],
    [`$JS.API.CONSUMER.INFO.${stream}.${name}`, [workerOf(name), ...provisioners]],
    [`$JS.API.CONSUMER.CREATE.${stream}.${name}`, provisioners],
    [`$JS.API.CONSUMER.CREATE.${stream}.${name}.loan.>`, ['operator']],
    [`$JS.API.CONSUMER.DURABLE.CREATE.${stream}.${name}`, provisioners],
    [`$JS.API.CONSUMER.DELETE.${stream}.${name}`, ['operator']],
  ]),
];

const listenedTo: readonly Rule[] = [
  [eventSubjects.status, ['gateway', 'operator']],
  ['loan.applications.status.*', ['gateway', 'operator']],
  ['loan.applications.>', ['operator']],
  [eventSubjects.submitted, ['operator']],
  [eventSubjects.report, ['operator']],
  ['loan.>', ['operator']],
  ...consumerNames.map((name): Rule => [`loan.dlq.${name}.*`, ['operator']]),
  ['>', []],
  ['_INBOX.>', []],
  ['$JS.API.>', []],
  ['$JS.ACK.>', []],
  ['$JS.EVENT.>', ['operator']],
  ['$SYS.>', []],
  ...natsUsers.map((user): Rule => [`${inboxPrefixOf(user)}.>`, [user]]),
];

type Connection = AsyncDisposable & {
  nc: NatsConnection;
  /** what the server has refused of that which was sent before */
  refused: () => Promise<Set<string>>;
};

async function connectAs(nats: TestNats, user: NatsUser): Promise<Connection> {
  const servers = new URL(nats.url).host;
  const nc = await connect({ servers, user, pass: user, name: user, inboxPrefix: inboxPrefixOf(user) });
  const seen = new Set<string>();
  void (async () => {
    for await (const status of nc.status()) {
      if (status.permissionContext) seen.add(status.permissionContext.subject);
    }
  })();
  return {
    nc,
    refused: async () => {
      // The server refuses in order, so this one is the last.
      const last = `nobody.may.${randomUUID()}`;
      nc.publish(last);
      await vi.waitUntil(() => seen.delete(last), 10_000);
      return seen;
    },
    [Symbol.asyncDispose]: () => nc.close(),
  };
}

const test = base.extend<{ $file: { prepared: TestNats } }>({
  prepared: [
    async ({ nats }, use) => {
      const { jsm } = await nats.broker.jetStream();
      await provision(jsm, { replicas: 1, ackWaitMs: 30_000 });
      await use(nats);
    },
    { scope: 'file' },
  ],
});

/** Each subject with whether it was let through, and with whether it should have been. */
function comparison(rules: readonly Rule[], user: NatsUser, refused: Set<string>) {
  return {
    found: rules.map(([subject]) => [subject, !refused.has(subject)]),
    expected: rules.map(([subject, by]) => [subject, by.includes(user)]),
  };
}

describe.each(natsUsers)('%s', (user) => {
  test('publishes what it is there for, and is refused everything else', async ({ prepared }) => {
    await using connection = await connectAs(prepared, user);
    // No request of the broker is this text, so it changes nothing where it is let through.
    for (const [subject] of published) connection.nc.publish(subject, 'not JSON');
    const { found, expected } = comparison(published, user, await connection.refused());
    expect(found).toEqual(expected);
  });

  test('listens to what it is there for, and is refused everything else', async ({ prepared }) => {
    await using connection = await connectAs(prepared, user);
    for (const [subject] of listenedTo) connection.nc.subscribe(subject, { callback: () => undefined });
    const { found, expected } = comparison(listenedTo, user, await connection.refused());
    expect(found).toEqual(expected);
  });
});

test('nobody gets in without a password, or with another one', async ({ prepared }) => {
  const servers = new URL(prepared.url).host;
  for (const credentials of [
    {},
    { user: 'scoring', pass: 'gateway' },
    { user: 'scoring' },
    { user: 'nobody', pass: '' },
  ]) {
    const refusal = await connect({ servers, ...credentials, reconnect: false }).then(
      (nc) => nc.close(),
      (error: unknown) => error,
    );
    expect(refusal).toBeInstanceOf(NatsError);
    expect((refusal as NatsError).code).toBe('AUTHORIZATION_VIOLATION');
  }
});

test('what was refused has had no effect', async ({ prepared }) => {
  const { jsm } = await prepared.broker.jetStream();
  const before = await jsm.streams.info('LOAN_STATUS');
  await using scoring = await connectAs(prepared, 'scoring');
  const api = await scoring.nc.jetstreamManager({ checkAPI: false });
  await expect(api.streams.delete('LOAN_STATUS')).rejects.toThrow(/permissions violation/i);
  await expect(api.streams.purge('LOAN_APPLICATIONS')).rejects.toThrow(/permissions violation/i);
  await expect(scoring.nc.jetstream().publish(eventSubjects.status, '{}')).rejects.toThrow(/permissions violation/i);
  expect((await jsm.streams.info('LOAN_STATUS')).state).toEqual(before.state);
});
