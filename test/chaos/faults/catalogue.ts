import type { Fault } from './fault.ts';
import { linkFaults } from './links.ts';
import { messageFaults } from './messages.ts';
import { natsFaults } from './nats.ts';
import { postgresFaults } from './postgres.ts';
import { processFaults } from './processes.ts';

/** Everything that can go wrong. */
export const catalogue: readonly Fault[] = [
  ...processFaults,
  ...natsFaults,
  ...postgresFaults,
  ...linkFaults,
  ...messageFaults,
];

export const faultNames = catalogue.map(({ name }) => name);
