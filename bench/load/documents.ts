import { randomInt, randomUUID } from 'node:crypto';

const submitDocument = `mutation Submit($input: SubmitApplicationInput!) {
  submitApplication(input: $input) { replayed application { id status } }
}`;

export const watchDocument = `subscription Watch($id: ID!) {
  applicationStatus(id: $id) { status version final }
}`;

const applicationDocument = `query Application($id: ID!) {
  application(id: $id) { id status maskedPan monthlyIncomeInr loanAmountInr loanType version createdAt }
}`;

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
const letter = () => letters.charAt(randomInt(letters.length));
const loanTypes = ['PERSONAL', 'HOME', 'AUTO'] as const;

/** A PAN of the form that a person's has; nobody's is meant. */
export function syntheticPan(): string {
  const digits = String(randomInt(10_000)).padStart(4, '0');
  return `${letter()}${letter()}${letter()}P${letter()}${digits}${letter()}`;
}

/** The body of a submission, different each time, under a key of its own as a client does that may repeat it. */
export function submission(): string {
  const input = {
    panNumber: syntheticPan(),
    monthlyIncomeInr: `${randomInt(20_000, 150_000)}.00`,
    loanAmountInr: `${randomInt(100_000, 5_000_000)}.00`,
    loanType: loanTypes[randomInt(loanTypes.length)],
    idempotencyKey: randomUUID(),
  };
  return JSON.stringify({ query: submitDocument, variables: { input } });
}

/** The body of a question for one application. */
export function question(): string {
  return JSON.stringify({ query: applicationDocument, variables: { id: randomUUID() } });
}

/** Of the application that an answer acknowledges. Throws for any other answer. */
export function acknowledgedId({ status, body }: { status: number; body: string }): string {
  const id = /"application":\{"id":"([0-9a-f-]{36})"/.exec(body)?.[1];
  if (status !== 200 || id === undefined) throw new Error(`not acknowledged: ${status} ${body.slice(0, 300)}`);
  return id;
}
