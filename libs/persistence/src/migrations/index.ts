import { Initial } from './20261124000000-initial.ts';
import { DeadLetters } from './20261125000000-dead-letters.ts';
import { Access } from './20261125120000-access.ts';
import { QuietRotation } from './20261125130000-quiet-rotation.ts';
import { RateLimits } from './20261126090000-rate-limits.ts';
import { Reviews } from './20261126100000-reviews.ts';
import { DecisionFeed } from './20261127090000-decision-feed.ts';
import { Consent } from './20261127095000-consent.ts';
import { Policies } from './20261127100000-policies.ts';
import { EventChain } from './20261127110000-event-chain.ts';
import { Erasures } from './20261127120000-erasures.ts';
import { RecordedAt } from './20261128090000-recorded-at.ts';
import { ShadowVerdicts } from './20261129090000-shadow-verdicts.ts';
import { OneGuard } from './20261129100000-one-guard.ts';
import { Unsampled } from './20261129140000-unsampled.ts';

/** In the order they are applied; the name is what the database remembers. */
export const migrations = [
  { name: '20261124000000-initial', class: Initial },
  { name: '20261125000000-dead-letters', class: DeadLetters },
  { name: '20261125120000-access', class: Access },
  { name: '20261125130000-quiet-rotation', class: QuietRotation },
  { name: '20261126090000-rate-limits', class: RateLimits },
  { name: '20261126100000-reviews', class: Reviews },
  { name: '20261127090000-decision-feed', class: DecisionFeed },
  { name: '20261127095000-consent', class: Consent },
  { name: '20261127100000-policies', class: Policies },
  { name: '20261127110000-event-chain', class: EventChain },
  { name: '20261127120000-erasures', class: Erasures },
  { name: '20261128090000-recorded-at', class: RecordedAt },
  { name: '20261129090000-shadow-verdicts', class: ShadowVerdicts },
  { name: '20261129100000-one-guard', class: OneGuard },
  { name: '20261129140000-unsampled', class: Unsampled },
];
