/** OPEN until an operator has replayed or discarded it. */
export const deadLetterStates = ['OPEN', 'REPLAYED', 'DISCARDED'] as const;
export type DeadLetterState = (typeof deadLetterStates)[number];

/** A message that a worker gave up, as operators see it: without its content. */
export type DeadLetter = {
  id: string;
  state: DeadLetterState;
  consumer: string;
  subject: string;
  applicationId: string | null;
  errorClass: string;
  error: string;
  deliveries: number;
  createdAt: Date;
  resolvedAt: Date | null;
  resolvedBy: string | null;
  resolution: string | null;
};
