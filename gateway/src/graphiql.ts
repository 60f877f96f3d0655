import { ApplicationEntity, type Database } from '@prequal/persistence';
import type { GraphiQLOptions } from 'graphql-yoga';

const submit = `# Submit an application: the answer is there at once, the decision follows.
# Then copy its id into the variables of the next tab.
mutation Submit($input: SubmitApplicationInput!) {
  submitApplication(input: $input) {
    application { id status maskedPan createdAt }
    replayed
  }
}
`;

const submitVariables = {
  input: {
    panNumber: 'ABCDE1234F',
    applicantName: 'Sandbox Applicant',
    monthlyIncomeInr: '75000.00',
    loanAmountInr: '500000.00',
    loanType: 'PERSONAL',
  },
};

const watch = `# Watch an application: its status now, then every change as it is pushed.
# The stream completes with PRE_APPROVED or REJECTED.
subscription Watch($id: ID!) {
  applicationStatus(id: $id) {
    status version occurredAt cibilScore final
    reasons { code message }
  }
}
`;

const lookUp = `# Look up an application: what was decided, why, and how it came about.
query LookUp($id: ID!) {
  application(id: $id) {
    id status cibilScore monthlyIncomeInr loanAmountInr loanType
    decision { outcome decidedBy policyVersion reasons { code message } }
    history { version status occurredAt actor }
  }
}
`;

/** GraphiQL for development: three tabs that work as they are, on the newest application the stack made itself. */
export async function graphiqlOptions(database: Database): Promise<GraphiQLOptions> {
  const [example] = await database
    .em()
    .find(ApplicationEntity, { synthetic: true }, { orderBy: { id: 'desc' }, limit: 1 })
    .catch(() => []);
  const variables = pretty({ id: example?.id ?? 'paste the id that submitApplication returned' });
  return {
    title: 'Prequal',
    subscriptionsProtocol: 'WS',
    defaultEditorToolsVisibility: 'variables',
    defaultTabs: [
      { query: submit, variables: pretty(submitVariables) },
      { query: watch, variables },
      { query: lookUp, variables },
    ],
  };
}

function pretty(value: unknown): string {
  return JSON.stringify(value, null, 2);
}
