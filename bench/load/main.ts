import { runApplicants } from './applicants.ts';
import { runArrivals } from './arrivals.ts';
import { runBareRows } from './bare-rows.ts';
import type { Order, Reply } from './protocol.ts';
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

async function perform(order: Order): Promise<unknown> {
  switch (order.job) {
    case 'requests':
      return runRequests(order.options);
    case 'bareRows':
      return runBareRows(order.options);
    case 'applicants':
      return runApplicants(order.options);
    case 'arrivals':
      return runArrivals(order.options);
    case 'watchers':
      return runWatchers(order.options);
  }
}
