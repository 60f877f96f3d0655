import { ApplicationEntity, type Database } from '@prequal/persistence';
import type { GraphiQLOptions } from 'graphql-yoga';

// Its input stands in the document: GraphiQL does not show the variables of the tab it opens with.
const submit = `# Submit an application. The answer is there at once,
# the decision follows. Then copy the id into the
# variables of the next tab. To be somebody, put
# {"authorization": "Bearer …"} into Headers below;
# npm run token --silent -- --sub alice   prints a token.
mutation Submit {
  submitApplication(
    input: {
      panNumber: "ABCDE1234F"
      applicantName: "Sandbox Applicant"
      monthlyIncomeInr: "75000.00"
      loanAmountInr: "500000.00"
      loanType: PERSONAL
    }
  ) {
    application { id status maskedPan createdAt }
    replayed
  }
}
`;

const watch = `# Watch an application: its status now, then every
# change as it is pushed. The stream completes with
# PRE_APPROVED or REJECTED.
subscription Watch($id: ID!) {
  applicationStatus(id: $id) {
    status version occurredAt cibilScore final
    reasons { code message }
  }
}
`;

const lookUp = `# Look up an application: what was decided, why,
# and how it came about.
query LookUp($id: ID!) {
  application(id: $id) {
    id status cibilScore
    monthlyIncomeInr loanAmountInr loanType
    decision {
      outcome decidedBy policyVersion
      reasons { code message }
    }
    history { version status occurredAt actor }
  }
}
`;

/** GraphiQL for development: three tabs that work as they are, on the newest application the stack made itself. */
export async function graphiqlOptions(database: Database): Promise<GraphiQLOptions> {
  const [example] = await database
    .em()
    .find(ApplicationEntity, { synthetic: true }, { fields: ['id'], orderBy: { id: 'desc' }, limit: 1 })
    .catch(() => []);
  const variables = JSON.stringify({ id: example?.id ?? 'paste the id that submitApplication returned' }, null, 2);
  return {
    title: 'Prequal',
    // Over WebSocket its page would not send the headers of its headers editor, where the token stands.
    subscriptionsProtocol: 'SSE',
    shouldPersistHeaders: false,
    defaultEditorToolsVisibility: 'variables',
    defaultTabs: [{ query: submit }, { query: watch, variables }, { query: lookUp, variables }],
  };
}
