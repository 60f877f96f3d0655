import { openConnection } from './connection.ts';
import { acknowledgedId, submission } from './documents.ts';
import { faults } from './faults.ts';
import { openWatchSocket, untilDecided } from './watch-socket.ts';

/** So many applicants at once, each of whom submits, watches until the decision is pushed, and does so again. */
export type Applicants = { url: string; applicants: number; sockets: number; seconds: number };

export type ApplicantsResult = { acknowledged: number; decided: number; seconds: number; faults: string[] };

export async function runApplicants({ url, applicants, sockets, seconds }: Applicants): Promise<ApplicantsResult> {
  const wrong = faults();
  const watching = await Promise.all(Array.from({ length: sockets }, () => openWatchSocket(url)));
  const connections = await Promise.all(Array.from({ length: applicants }, () => openConnection(url)));
  const begunAt = performance.now();
  const endAt = begunAt + seconds * 1_000;
  let acknowledged = 0;
  let decided = 0;
  await Promise.all(
    connections.map(async ({ post }, index) => {
      const socket = watching[index % watching.length];
      if (!socket) throw new Error('there must be a socket at least');
      while (performance.now() < endAt) {
        const id = acknowledgedId(await post(submission()));
        acknowledged += 1;
        await untilDecided(socket, id);
        decided += 1;
      }
    }),
  ).catch((error: Error) => wrong.note(error.message));
  const took = (performance.now() - begunAt) / 1_000;
  for (const { close } of [...connections, ...watching]) close();
  return { acknowledged, decided, seconds: took, faults: wrong.list() };
}
