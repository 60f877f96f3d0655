import { Slots } from '@prequal/service';
import type { Msg, MsgHdrs, NatsConnection } from 'nats';

export type AckInbox = {
  /** Resolves once a stream has stored the message. Throws an Error that says why it was not, or not in time. */
  publish: (subject: string, payload: string, headers: MsgHdrs) => Promise<void>;
  /** The server did not take what was published on this subject, and will not answer. */
  refuse: (subject: string, why: string) => void;
};

type Waiting = {
  subject: string;
  /** of its acknowledgement's subject: its place, and what tells it from all others that ever had this place */
  token: string;
  acknowledged: () => void;
  refused: (error: unknown) => void;
  until: number;
};

const timeoutMs = 5_000;
const lookEveryMs = 500;

/**
 * Publishes to JetStream and waits for its acknowledgements, all of which come to one subject: a place for
 * each message that is on its way. The library makes a request of each, with a timer, three promises and an error that
 * nobody sees, which takes a tenth of what a worker does.
 */
export function openAckInbox(connection: NatsConnection, inbox: string): AckInbox {
  const waiting = new Slots<Waiting>();
  let published = 0;
  let isListening = false;
  let looking: NodeJS.Timeout | undefined;

  function listen(): void {
    isListening = true;
    connection.subscribe(`${inbox}.*`, {
      callback: (error, message) => {
        if (error) {
          // Nothing comes on it any more: the next message that is published tries it again.
          isListening = false;
          return refuseWhere(() => true, error.message);
        }
        const token = message.subject.slice(inbox.length + 1);
        const one = waiting.at(placeIn(token));
        if (one?.token !== token) return;
        waiting.letGo(placeIn(token));
        const refusal = refusalIn(message);
        if (refusal === undefined) one.acknowledged();
        else one.refused(new Error(refusal));
      },
    });
  }

  function refuseWhere(isMeant: (one: Waiting) => boolean, why: string): void {
    for (const one of waiting) {
      if (!isMeant(one)) continue;
      waiting.letGo(placeIn(one.token));
      one.refused(new Error(why));
    }
  }

  function look(): void {
    const now = performance.now();
    refuseWhere(({ until }) => until <= now, `no acknowledgement within ${timeoutMs / 1_000} s`);
    looking = waiting.size > 0 ? setTimeout(look, lookEveryMs) : undefined;
  }

  void connection.closed().then(() => {
    clearTimeout(looking);
    refuseWhere(() => true, 'the connection was closed');
  });

  return {
    publish: (subject, payload, headers) =>
      new Promise((acknowledged, refused) => {
        if (!isListening) listen();
        published += 1;
        const one = { subject, token: '', acknowledged, refused, until: performance.now() + timeoutMs };
        const place = waiting.add(one);
        one.token = `${place}-${published}`;
        looking ??= setTimeout(look, lookEveryMs);
        try {
          connection.publish(subject, payload, { reply: `${inbox}.${one.token}`, headers });
        } catch (error) {
          waiting.letGo(place);
          refused(error);
        }
      }),
    refuse: (subject, why) => refuseWhere((one) => one.subject === subject, why),
  };
}

/** `NaN` in what is no token of ours. */
function placeIn(token: string): number {
  return Number.parseInt(token, 10);
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
