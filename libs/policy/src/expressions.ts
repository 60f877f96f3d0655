import { evaluateExpression, evaluateUnaryExpression } from '@gorules/zen-engine';
import type { Jdm, TableNode } from './parse-document.ts';
import type { Finding } from './verdict.ts';

/** One formula of a document, and where an analyst finds it. */
export type Expression = { text: string; where: string; isTest: boolean };

/** Every formula that the engine evaluates. `isTest`: a cell like `>= 650`, which is about its column's field. */
export function expressionsOf({ nodes }: Jdm): Expression[] {
  const found = nodes.flatMap((node): Expression[] => {
    switch (node.type) {
      case 'inputNode':
      case 'outputNode':
        return [];
      case 'expressionNode':
        return [
          { text: node.content.inputField ?? '', where: `the input field of "${node.name}"`, isTest: false },
          ...node.content.expressions.map(({ key, value }) => ({
            text: value,
            where: `"${key}" of "${node.name}"`,
            isTest: false,
          })),
        ];
      case 'switchNode':
        return node.content.statements.map(({ condition }, index) => ({
          text: condition,
          where: `condition ${index + 1} of "${node.name}"`,
          isTest: false,
        }));
      case 'decisionTableNode':
        return formulasOf(node);
      default:
        return node satisfies never;
    }
  });
  return found.filter(({ text }) => text.trim() !== '');
}

function formulasOf({ name: table, content }: TableNode): Expression[] {
  const { inputs, outputs, rules } = content;
  const columns = inputs.map(({ name, field }) => ({
    text: field ?? '',
    where: `the column "${name ?? ''}" of "${table}"`,
    isTest: false,
  }));
  const cells = rules.flatMap((row, index) =>
    [...inputs, ...outputs].map(({ id, name, field }) => ({
      text: row[id] ?? '',
      where: `"${name ?? field ?? id}" in row ${index + 1} of "${table}"`,
      isTest: Boolean(field) && inputs.some((input) => input.id === id),
    })),
  );
  return [
    { text: content.inputField ?? '', where: `the input field of "${table}"`, isTest: false },
    ...columns,
    ...cells,
  ];
}

/** The numbers that stand in a formula, outside texts. */
export function numbersIn(text: string): number[] {
  return (withoutTexts(text).match(/(?<!\w|[^.]\.)\d+(?:\.\d+)?/g) ?? []).map(Number);
}

/** The numbers of each row of each table: conditions that meet in one application stand in one row. */
export function numbersByRow({ nodes }: Jdm): number[][] {
  const rows = nodes.flatMap((node) =>
    node.type === 'decisionTableNode'
      ? node.content.rules.map((row) => node.content.inputs.flatMap(({ id }) => numbersIn(row[id] ?? '')))
      : [],
  );
  return rows.filter((numbers) => numbers.length > 0);
}

/** What is worked out: of a sentence in backticks, only what stands in its `${}`. */
function withoutTexts(text: string): string {
  return text.replaceAll(/`[^`]*`|'[^']*'|"[^"]*"/g, (quoted) =>
    quoted.startsWith('`')
      ? [...quoted.matchAll(/\$\{([^}]*)\}/g)].map(([, code]) => `(${withoutTexts(code ?? '')})`).join()
      : "''",
  );
}

const refusedFunctions: readonly { pattern: RegExp; why: string }[] = [
  { pattern: /(?<![\w.])rand\s*\(/, why: 'draws a random number' },
  {
    pattern:
      /(?<![\w.])(d|date|time|duration|year|dayOfWeek|dayOfMonth|dayOfYear|weekOfYear|monthOfYear|monthString|dateString|weekdayString|startOf|endOf)\s*\(/,
    why: 'reads dates, which no application carries, so that the clock would decide',
  },
  {
    pattern: /(?<![\w.])(map|filter|flatMap|some|all|none|one|count)\s*\(.*\.\./s,
    why: 'runs over a range of numbers, which may be endless',
  },
];

/** Formulas that are refused without being tried: the same application must always get the same verdict, and soon. */
export function refusedExpressions(jdm: Jdm): Finding[] {
  return expressionsOf(jdm).flatMap(({ text, where }) =>
    refusedFunctions
      .filter(({ pattern }) => pattern.test(withoutTexts(text)))
      .map(({ why }): Finding => ({ kind: 'UNSTABLE', message: `${where} ${why}: ${text}`, examples: [] })),
  );
}

/** Formulas that the engine cannot read. In a table it would take such a cell for one that does not fit. */
export async function unreadableExpressions(jdm: Jdm): Promise<Finding[]> {
  const read = expressionsOf(jdm).map(async ({ text, where, isTest }): Promise<Finding[]> => {
    // Its type and not its value, which may be a number that the engine cannot hand out.
    const evaluation = isTest ? evaluateUnaryExpression(text, { $: null }) : evaluateExpression(`type((${text}))`, {});
    const problem = await evaluation.then(
      () => undefined,
      (error: unknown) =>
        /"type":"(?:lexer|parser|compiler)Error","source":"(.*?)(?: at \(\d+, \d+\))?"\}/.exec(String(error))?.[1],
    );
    if (problem === undefined) return [];
    return [{ kind: 'UNREADABLE', message: `${where} cannot be read (${problem}): ${text}`, examples: [] }];
  });
  return (await Promise.all(read)).flat();
}
