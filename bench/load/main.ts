import { runApplicants } from './applicants.ts';
import { runArrivals } from './arrivals.ts';
import { runBareRows } from './bare-rows.ts';
import type { Jobs, Order, Reply } from './protocol.ts';
import { runRequests } from './requests.ts';
import { runWatchers } from './watchers.ts';

/** The clients, in a process of their own: what they cost is not the cost of what they ask. */
process.on('message', (order: Order) => {
  const reply = (answer: Reply) => process.send?.(answer);
  perform(order).then(
    (result) => reply({ result }),
    (error: unknown) => reply({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
process.once('disconnect', () => process.exit());

type Perform = { [Job in keyof Jobs]: (options: Jobs[Job][0]) => Promise<Jobs[Job][1]> };

const performers: Perform = {
  requests: runRequests,
  bareRows: runBareRows,
  applicants: runApplicants,
  arrivals: runArrivals,
  watchers: runWatchers,
};

function perform({ job, options }: Order): Promise<unknown> {
  return performers[job](options as never);
}
