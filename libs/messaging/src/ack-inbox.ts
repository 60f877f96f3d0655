import type { Msg, MsgHdrs, NatsConnection } from 'nats';

/** Resolves once a stream has stored the message. Throws an Error that says why it was not, or not in time. */
export type PublishDurably = (subject: string, payload: string, headers: MsgHdrs) => Promise<void>;

type Waiting = { acknowledged: () => void; refused: (error: Error) => void; until: number };

const timeoutMs = 5_000;
const lookEveryMs = 500;

/**
 * Publishes to JetStream and waits for its acknowledgements, all of which come to one subject: a place in a map for
 * each message that is on its way. The library makes a request of each, with a timer, three promises and an error that
 * nobody sees, which takes a tenth of what a worker does.
 */
export function openAckInbox(connection: NatsConnection, inbox: string): PublishDurably {
  const waiting = new Map<string, Waiting>();
  let published = 0;
  let looking: NodeJS.Timeout | undefined;

  connection.subscribe(`${inbox}.*`, {
    callback: (_error, message) => {
      const token = message.subject.slice(inbox.length + 1);
      const one = waiting.get(token);
      if (!one) return;
      waiting.delete(token);
      const refusal = refusalIn(message);
      if (refusal === undefined) one.acknowledged();
      else one.refused(new Error(refusal));
    },
  });

  /** They wait equally long, so the first is the oldest. */
  function look(): void {
    const now = performance.now();
    for (const [token, { until, refused }] of waiting) {
      if (until > now) break;
      waiting.delete(token);
      refused(new Error(`no acknowledgement within ${timeoutMs / 1_000} s`));
    }
    looking = waiting.size > 0 ? setTimeout(look, lookEveryMs) : undefined;
  }

  void connection.closed().then(() => {
    clearTimeout(looking);
    for (const { refused } of waiting.values()) refused(new Error('the connection was closed'));
    waiting.clear();
  });

  return (subject, payload, headers) =>
    new Promise((acknowledged, refused) => {
      published += 1;
      const token = String(published);
      connection.publish(subject, payload, { reply: `${inbox}.${token}`, headers });
      waiting.set(token, { acknowledged, refused, until: performance.now() + timeoutMs });
      looking ??= setTimeout(look, lookEveryMs);
    });
}

/** Undefined for an acknowledgement. */
function refusalIn(message: Msg): string | undefined {
  // What the server answers when no stream takes the subject.
  if (message.data.length === 0) return `no stream takes it (${message.headers?.code ?? 'an empty answer'})`;
  try {
    const { stream, error } = message.json<{ stream?: string; error?: { code: number; description: string } }>();
    if (error) return `${error.code} ${error.description}`;
    if (stream) return undefined;
  } catch {
    // Whoever has answered, it was no stream.
  }
  return 'an answer that is no acknowledgement';
}
