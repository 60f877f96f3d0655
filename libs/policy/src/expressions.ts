import { evaluateExpression, evaluateUnaryExpression } from '@gorules/zen-engine';
import { codeOf, hasLooseRange } from './formula-code.ts';
import { type Jdm, policyLimits, type TableNode } from './parse-document.ts';
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
  const cellsOf = [
    ...inputs.map(({ id, name, field }) => ({ id, name: name ?? field ?? id, isTest: Boolean(field) })),
    ...outputs.map(({ id, name }) => ({ id, name, isTest: false })),
  ];
  const cells = rules.flatMap((row, index) =>
    cellsOf.map(({ id, name, isTest }) => ({
      text: row[id] ?? '',
      where: `"${name}" in row ${index + 1} of "${table}"`,
      isTest,
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
  return (codeOf(text).match(/(?<!\w|[^.]\.)\d+(?:\.\d+)?/g) ?? []).map(Number);
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

// A number's end may stand before a name, as in `[0..rand(5)]`, but not a dot: `x.rand`.
const refusedFunctions: readonly { pattern: RegExp; why: string }[] = [
  { pattern: /(?<![\w$#]|(?<!\.)\.)rand\s*\(/, why: 'draws a random number' },
  {
    pattern:
      /(?<![\w$#]|(?<!\.)\.)(d|date|time|duration|year|dayOfWeek|dayOfMonth|dayOfYear|weekOfYear|monthOfYear|monthString|dateString|weekdayString|startOf|endOf)\s*\(/,
    why: 'reads dates, which no application carries, so that the clock would decide',
  },
];
const looseRange =
  'has a range of numbers, which may be endless; it may only follow `in`, as in `score in [600..749]`, or be the test of a cell';

/** Formulas that are refused without being tried: the same application must always get the same verdict, and soon. */
export function refusedExpressions(jdm: Jdm): Finding[] {
  return expressionsOf(jdm).flatMap(({ text, where, isTest }): Finding[] => {
    const { formulaMaxChars } = policyLimits;
    if (text.length > formulaMaxChars) {
      const message = `${where} has ${text.length} characters; a formula has at most ${formulaMaxChars}.`;
      return [{ kind: 'TOO_LARGE', message, examples: [] }];
    }
    const code = codeOf(text);
    const reasons = refusedFunctions.filter(({ pattern }) => pattern.test(code)).map(({ why }) => why);
    if (hasLooseRange(code, isTest)) reasons.push(looseRange);
    return reasons.map((why) => ({ kind: 'UNSTABLE', message: `${where} ${why}: ${text}`, examples: [] }));
  });
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
