import type { Applicants, ApplicantsResult } from './applicants.ts';
import type { Arrivals, ArrivalsResult } from './arrivals.ts';
import type { BareRows, BareRowsResult } from './bare-rows.ts';
import type { Requests, RequestsResult } from './requests.ts';
import type { Watchers, WatchersResult } from './watchers.ts';

/** What a load process may be told to do, and what it answers. */
export type Jobs = {
  requests: [Requests, RequestsResult];
  bareRows: [BareRows, BareRowsResult];
  applicants: [Applicants, ApplicantsResult];
  arrivals: [Arrivals, ArrivalsResult];
  watchers: [Watchers, WatchersResult];
};

export type Order = { [Job in keyof Jobs]: { job: Job; options: Jobs[Job][0] } }[keyof Jobs];

export type Reply = { result: unknown } | { error: string };
