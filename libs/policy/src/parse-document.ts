import { z } from 'zod';
import { type Finding, InvalidPolicyError } from './verdict.ts';

/** A limit on each dimension of a document, far above what a policy for people needs. */
export const policyLimits = {
  documentMaxBytes: 65_536,
  maxNodes: 50,
  maxRowsPerTable: 200,
  /** of inputs, and of outputs */
  maxColumnsPerTable: 50,
  formulaMaxChars: 2_000,
} as const;

/** what an analyst corrects at once */
const mostFindings = 20;

const transform = {
  passThrough: z.boolean().nullish(),
  inputField: z.string().nullish(),
  outputPath: z.string().nullish(),
  // A loop runs over a list, and an application is not one.
  executionMode: z.literal('single').nullish(),
};
const row = z.record(z.string(), z.string());
const content = {
  decisionTableNode: z.looseObject({
    ...transform,
    hitPolicy: z.enum(['first', 'collect']),
    inputs: z
      .array(z.looseObject({ id: z.string(), name: z.string().nullish(), field: z.string().nullish() }))
      .max(policyLimits.maxColumnsPerTable),
    outputs: z
      .array(z.looseObject({ id: z.string(), name: z.string(), field: z.string() }))
      .max(policyLimits.maxColumnsPerTable),
    rules: z.array(row).max(policyLimits.maxRowsPerTable),
  }),
  expressionNode: z.looseObject({
    ...transform,
    expressions: z.array(z.looseObject({ id: z.string(), key: z.string(), value: z.string() })),
  }),
  switchNode: z.looseObject({
    statements: z.array(z.looseObject({ id: z.string(), condition: z.string() })),
  }),
};
const common = { id: z.string(), name: z.string() };
const node = z.discriminatedUnion('type', [
  z.looseObject({ ...common, type: z.literal('inputNode') }),
  z.looseObject({ ...common, type: z.literal('outputNode') }),
  z.looseObject({ ...common, type: z.literal('decisionTableNode'), content: content.decisionTableNode }),
  z.looseObject({ ...common, type: z.literal('expressionNode'), content: content.expressionNode }),
  z.looseObject({ ...common, type: z.literal('switchNode'), content: content.switchNode }),
]);
const edge = z.looseObject({ id: z.string(), sourceId: z.string(), targetId: z.string() });
const jdm = z.looseObject({ nodes: z.array(node).max(policyLimits.maxNodes), edges: z.array(edge) });

export type Jdm = z.output<typeof jdm>;
export type TableNode = Extract<Jdm['nodes'][number], { type: 'decisionTableNode' }>;

/** What the text of a document says, if it may be a document at all. Throws `InvalidPolicyError`. */
export function readJson(document: string): unknown {
  const bytes = Buffer.byteLength(document);
  if (bytes > policyLimits.documentMaxBytes) {
    refuse('TOO_LARGE', `The document has ${bytes} bytes; at most ${policyLimits.documentMaxBytes} are allowed.`);
  }
  // A reason could not be recorded with it: PostgreSQL keeps no NUL.
  if (/(?<!\\)(?:\\\\)*\\u0000/.test(document)) refuse('UNREADABLE', 'The document holds the character NUL.');
  try {
    return JSON.parse(document);
  } catch (error) {
    return refuse(
      'UNREADABLE',
      `The document is not JSON: ${error instanceof Error ? error.message : 'unknown error'}.`,
    );
  }
}

/** Reads a JDM document made of the parts that a policy may have. Throws `InvalidPolicyError`. */
export function parseDocument(document: string): Jdm {
  const json = readJson(document);
  const parsed = jdm.safeParse(json);
  if (!parsed.success) {
    throw new InvalidPolicyError(parsed.error.issues.slice(0, mostFindings).map((issue) => findingOf(json, issue)));
  }
  for (const type of ['inputNode', 'outputNode'] as const) {
    const count = parsed.data.nodes.filter((one) => one.type === type).length;
    if (count !== 1) refuse('UNREADABLE', `The document has ${count} nodes of type ${type}; it needs exactly one.`);
  }
  const missing = [...missingCells(parsed.data).take(mostFindings)];
  if (missing.length > 0) throw new InvalidPolicyError(missing);
  return parsed.data;
}

/** The engine takes an empty cell for one that always fits, and a missing one for one that never does. */
function* missingCells({ nodes }: Jdm): Generator<Finding, undefined> {
  for (const table of nodes) {
    if (table.type !== 'decisionTableNode') continue;
    for (const [index, cells] of table.content.rules.entries()) {
      for (const { id, name } of table.content.inputs) {
        if (cells[id] !== undefined) continue;
        const message = `Row ${index + 1} of "${table.name}" has no cell in the column "${name ?? id}", so it never fits. An empty cell always does.`;
        yield { kind: 'UNREADABLE', message, examples: [] };
      }
    }
  }
  return undefined;
}

export function refuse(kind: Finding['kind'], message: string): never {
  throw new InvalidPolicyError([{ kind, message, examples: [] }]);
}

function findingOf(json: unknown, issue: z.core.$ZodIssue): Finding {
  const at = issue.path.join('.') || 'the document';
  const type = typeAt(json, issue.path);
  if (issue.code === 'invalid_union' && type !== undefined) {
    const allowed = ['decisionTableNode', 'expressionNode', 'switchNode'].join(', ');
    const message = `The node at ${at} is a ${type}. Only ${allowed} and one input and one output are allowed: functions, other documents and custom code can depend on chance, clock or network.`;
    return { kind: 'UNREADABLE', message, examples: [] };
  }
  return { kind: 'UNREADABLE', message: `At ${at}: ${issue.message}.`, examples: [] };
}

/** The text under `type` that a node at this path, or the path itself, carries. */
function typeAt(json: unknown, path: readonly PropertyKey[]): string | undefined {
  const keys = path.at(-1) === 'type' ? path : [...path, 'type'];
  let found = json as Record<PropertyKey, unknown> | undefined;
  for (const key of keys) found = found?.[key] as typeof found;
  return typeof found === 'string' ? found : undefined;
}
