import { personalSubjects } from '@prequal/schema';
import type { Broker } from './connect.ts';
import { unlessNotFound } from './provision.ts';

/**
 * Deletes every message that may hold personal data of one application, overwriting its bytes; answers how many there
 * were. Doing it again finds none. Throws when NATS is away or does not answer.
 */
export async function eraseMessages(broker: Broker, applicationId: string): Promise<number> {
  const { jsm } = await broker.jetStream();
  let erased = 0;
  for (const { stream, subject } of personalSubjects(applicationId)) {
    for (;;) {
      const newest = await unlessNotFound(jsm.streams.getMessage(stream, { last_by_subj: subject }));
      if (!newest) break;
      await jsm.streams.deleteMessage(stream, newest.seq, true);
      erased += 1;
    }
  }
  return erased;
}
