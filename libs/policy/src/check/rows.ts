import { openDecision } from '../open-decision.ts';
import type { Jdm, TableNode } from '../parse-document.ts';
import type { Finding, PolicyInput } from '../verdict.ts';
import { describe } from './trial.ts';

/** A row that fits an input, counted from 1, and the outcome it gives. */
type Hit = { row: number; outcome: string };

/**
 * Rows of the deciding tables that contradict each other: with hit policy `collect`, two rows that fit one
 * application and give different outcomes; with `first`, a row whose turn never comes because rows before it, with
 * another outcome, fit whenever it does. That a turn never comes is believed only when `inputs` show it, all of
 * them; `some` of them are enough to suspect it.
 */
export async function contradictingRows(
  jdm: Jdm,
  inputs: readonly PolicyInput[],
  some: readonly PolicyInput[],
): Promise<Finding[]> {
  const tables = jdm.nodes.filter(
    (node): node is TableNode =>
      node.type === 'decisionTableNode' && node.content.outputs.some(({ field }) => field === 'outcome'),
  );
  const judged = tables.map(async (table) => {
    const hitsOf = fittingRows(jdm, table);
    const judge = async (tried: readonly PolicyInput[]) => {
      const trials = await Promise.all(tried.map(async (input) => ({ input, hits: await hitsOf(input) })));
      return table.content.hitPolicy === 'collect' ? ambiguous(table, trials) : hidden(table, trials);
    };
    return (await judge(some)).length > 0 ? judge(inputs) : [];
  });
  return (await Promise.all(judged)).flat();
}

type RowTrial = { input: PolicyInput; hits: Hit[] };

function ambiguous(table: TableNode, trials: readonly RowTrial[]): Finding[] {
  const both = trials.find(({ hits }) => new Set(hits.map(({ outcome }) => outcome)).size > 1);
  if (!both) return [];
  const rows = both.hits.map(({ row, outcome }) => `row ${row} says ${outcome}`).join(', ');
  return [{ kind: 'OVERLAP', message: `${describe(both.input)}: in "${table.name}" ${rows}.`, examples: [both.input] }];
}

function hidden(table: TableNode, trials: readonly RowTrial[]): Finding[] {
  const deciding = new Set(trials.map(({ hits }) => hits[0]?.row));
  const fitting = new Set(trials.flatMap(({ hits }) => hits.map(({ row }) => row)));
  // A row without conditions is there for what the others leave, which may be nothing.
  const hasConditions = (row: number) =>
    table.content.inputs.some(({ id }) => table.content.rules[row - 1]?.[id]?.trim());
  return [...fitting].flatMap((row): Finding[] => {
    if (deciding.has(row) || !hasConditions(row)) return [];
    for (const { input, hits } of trials) {
      const mine = hits.find((hit) => hit.row === row);
      const first = hits[0];
      if (!mine || !first || first.outcome === mine.outcome) continue;
      const message = `Row ${row} of "${table.name}" (${mine.outcome}) never decides, because rows before it always fit too. ${describe(input)}: row ${first.row} says ${first.outcome}.`;
      return [{ kind: 'OVERLAP', message, examples: [input] }];
    }
    return [];
  });
}

/** The document cut off behind a table that now collects all rows that fit, with their numbers. */
function fittingRows(jdm: Jdm, table: TableNode): (input: PolicyInput) => Promise<Hit[]> {
  const number = { id: 'prequal-row', name: 'Row', field: 'row' };
  const collecting = {
    ...table,
    content: {
      ...table.content,
      hitPolicy: 'collect',
      outputPath: 'hits',
      outputs: [number, ...table.content.outputs],
      rules: table.content.rules.map((row, index) => ({ ...row, [number.id]: String(index + 1) })),
    },
  };
  const output = jdm.nodes.find((node) => node.type === 'outputNode');
  const before = jdm.edges.filter((edge) => edge.sourceId !== table.id && edge.targetId !== output?.id);
  const decision = openDecision(
    {
      nodes: jdm.nodes.map((node) => (node === table ? collecting : node)),
      edges: [...before, { id: 'prequal-cut', sourceId: table.id, targetId: output?.id ?? '' }],
    },
    { hits: 'map(hits ?? [], [string(#.row), string(#.outcome)])' },
  );
  return async (input) => {
    // Where the table cannot be reached the trial of the whole document has shown it.
    const { hits = [] } = (await decision(input).catch(() => ({}))) as { hits?: [row: string, outcome: string][] };
    return hits.map(([row, outcome]) => ({ row: Number(row), outcome }));
  };
}
