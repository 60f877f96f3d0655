import { createLog, type Service } from '@prequal/service';
import { AckPolicy, connect, type JetStreamClient, type NatsConnection } from 'nats';

/** A worker that takes one message at a time from its durable consumer, and acknowledges it when it is handled. */
export async function startWorker(
  env: NodeJS.ProcessEnv,
  { name, listensTo }: { name: string; listensTo: string },
  handle: (message: unknown, js: JetStreamClient) => Promise<void>,
): Promise<Service> {
  const { nc, js } = await connectTo(env);
  const jsm = await nc.jetstreamManager();
  await jsm.consumers.add(streamName, {
    durable_name: name,
    ack_policy: AckPolicy.Explicit,
    filter_subject: `${listensTo}.*`,
  });
  const consumer = await js.consumers.get(streamName, name);
  const messages = await consumer.consume();
  const working = (async () => {
    for await (const message of messages) {
      await handle(message.json(), js);
      message.ack();
    }
  })();
  return {
    url: 'http://127.0.0.1:0',
    log: createLog(name, 'fatal'),
    [Symbol.asyncDispose]: async () => {
      messages.stop();
      await working;
      await nc.close();
    },
  };
}

const streamName = 'STRAIGHTFORWARD';

/** One stream for all messages, made when it is missing. */
export async function connectTo(env: NodeJS.ProcessEnv): Promise<{ nc: NatsConnection; js: JetStreamClient }> {
  const url = new URL(env['NATS_URL'] ?? '');
  const nc = await connect({ servers: url.host, user: url.username, pass: url.password });
  const jsm = await nc.jetstreamManager();
  await jsm.streams.add({ name: streamName, subjects: ['straightforward.>'] });
  return { nc, js: nc.jetstream() };
}
