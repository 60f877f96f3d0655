import { type ZenDecision, ZenDecisionContent, ZenEngine } from '@gorules/zen-engine';
import { InvalidPolicyError, PolicyFaultError, type PolicyInput } from './verdict.ts';

/** The nodes and edges of a document, as far as they matter here. */
type Graph = {
  nodes: readonly { id: string; type: string; name: string }[];
  edges: readonly { sourceId: string; targetId: string }[];
};

const exitId = 'prequal-exit';

/**
 * A document that is ready to be evaluated, with one more node before its output: nothing but the results of
 * `exits` (formulas by key) leaves it, and they must give texts or lists of texts. For the engine ends the whole
 * process when an integer beyond 64 bits leaves it, and figures between the nodes may be that large. Throws
 * `InvalidPolicyError` when the nodes are not a graph from input to output; what it returns throws
 * `PolicyFaultError` when an evaluation fails.
 */
export function openDecision(
  graph: Graph,
  exits: Readonly<Record<string, string>>,
): (input: PolicyInput) => Promise<unknown> {
  const decision = compile(graph, exits);
  return async (input) => {
    const answer = await decision.evaluate(input).catch((error: unknown) => {
      throw new PolicyFaultError('THROWS', explain(error, graph));
    });
    return answer.result;
  };
}

function compile(graph: Graph, exits: Readonly<Record<string, string>>): ZenDecision {
  const output = graph.nodes.find((node) => node.type === 'outputNode');
  const expressions = Object.entries(exits).map(([key, value]) => ({ id: key, key, value }));
  const content = { expressions, passThrough: false };
  const nodes = [...graph.nodes, { id: exitId, name: 'Exit', type: 'expressionNode', content }];
  const edges = graph.edges.map((edge) => (edge.targetId === output?.id ? { ...edge, targetId: exitId } : edge));
  const toOutput = { id: 'prequal-exit-output', sourceId: exitId, targetId: output?.id };
  try {
    const document = Buffer.from(JSON.stringify({ ...graph, nodes, edges: [...edges, toOutput] }));
    // Content of this kind has its formulas compiled; a buffer's are read again at each evaluation.
    const decision = new ZenEngine().createDecision(new ZenDecisionContent(document));
    decision.validate();
    return decision;
  } catch (error) {
    throw new InvalidPolicyError([{ kind: 'UNREADABLE', message: explain(error, graph), examples: [] }]);
  }
}

/** What the engine says about a failure, without the stack of its native code. */
function explain(error: unknown, graph: Graph): string {
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
  // How the engine says that its native code has panicked.
  if (line === 'Hook timed out') return 'The arithmetic fails: a remainder by zero, or more than 28 digits.';
  const said = parse(line);
  if (said?.nodeId === exitId) {
    return 'The output is not what it must be: `outcome` a text, `because` a list of codes, `reasons` a list of `code` and `message`.';
  }
  const node = graph.nodes.find(({ id }) => id === said?.nodeId)?.name ?? said?.nodeId;
  return `The engine fails${node === undefined ? '' : ` at "${node}"`}: ${said?.source ?? said?.type ?? line}`;
}

function parse(line: string): { type?: string; source?: string; nodeId?: string } | undefined {
  try {
    return JSON.parse(line) as { type?: string; source?: string; nodeId?: string };
  } catch {
    return undefined;
  }
}
