import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { contradictingRows } from './check/rows.ts';
import { tryPolicy } from './check/try-policy.ts';
import { checkPolicy } from './check-policy.ts';
import { loadPolicy } from './load-policy.ts';
import { parseDocument, policyLimits } from './parse-document.ts';
import { seedWith } from './seed-with.fixture.ts';
import { shippedPolicies } from './shipped.ts';
import { type FindingKind, InvalidPolicyError, type PolicyInput } from './verdict.ts';

test('a file that is not there is said to be so', async () => {
  const command = promisify(execFile)(process.execPath, [path.join(import.meta.dirname, 'main.ts'), 'no-such.json']);
  await expect(command).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringMatching(
      /^no-such\.json cannot be read \(ENOENT[^\n]*\nWhich file\? npm run check-policy -- \S+\n$/,
    ),
  });
});

const trials = { seed: 7, randomTrials: 100 };
const text = JSON.stringify;
const ordinary = { score: 790, monthlyIncomePaise: 80_000_00, loanAmountPaise: 5_00_000_00, loanType: 'HOME' } as const;

/** The rows of `seed-1` when they collect, and a figure afterwards takes the first row that fits. */
function collecting(rows: Record<string, Record<string, unknown>>): string {
  const document = JSON.parse(seedWith({ rules: { hitPolicy: 'collect', outputPath: 'hits' }, ...rows }));
  const content = {
    passThrough: true,
    expressions: ['outcome', 'because'].map((key) => ({ id: key, key, value: `hits[0].${key}` })),
  };
  document.nodes.push({ id: 'first', name: 'First', type: 'expressionNode', content });
  document.edges.find((edge: { targetId: string }) => edge.targetId === 'reasons').targetId = 'first';
  document.edges.push({ id: 'first-reasons', sourceId: 'first', targetId: 'reasons' });
  return text(document);
}

describe('the checker finds', () => {
  const manual = { 'rules-outcome': "'MANUAL_REVIEW'", 'rules-because': "['SCORE_SUFFICIENT']" };
  const faults: [fault: string, document: string, kind: FindingKind, message: string[]][] = [
    [
      'a gap at a boundary',
      seedWith({ 'rules-3': { 'rules-score': '> minimumScore' }, 'rules-4': { 'rules-score': '> 650' } }),
      'UNDECIDED',
      ['a score of 650', 'No row decides'],
    ],
    [
      'a gap for one loan type',
      seedWith({
        rules: {
          inputs: [
            { id: 'rules-score', name: 'CIBIL score', field: 'score' },
            { id: 'rules-income', name: 'Loan type', field: 'loanType' },
          ],
        },
        'rules-3': { 'rules-income': "'HOME'", ...manual },
        'rules-4': { 'rules-income': "'AUTO'", ...manual },
      }),
      'UNDECIDED',
      ['PERSONAL loan', 'No row decides'],
    ],
    [
      'rows that collect and overlap with different outcomes',
      collecting({ 'rules-2': { 'rules-score': '<= minimumScore' } }),
      'OVERLAP',
      ['a score of 650', 'row 2 says REJECTED, row 4 says MANUAL_REVIEW'],
    ],
    [
      'a row that never decides because of those before it',
      seedWith({
        'rules-3': { 'rules-score': '< 600', 'rules-income': '', ...manual },
        'rules-4': { 'rules-income': '', ...manual },
      }),
      'OVERLAP',
      ['Row 3 of "Rules" (MANUAL_REVIEW) never decides', 'row 2 says REJECTED'],
    ],
    [
      'an inverted comparison of the income',
      seedWith({
        'rules-3': { 'rules-income': '<= incomeSharePaise' },
        'rules-4': { 'rules-income': '> incomeSharePaise' },
        'reasons-4': { 'reasons-when': '' },
        'reasons-5': { 'reasons-when': '' },
      }),
      'NOT_MONOTONE',
      ['higher income', 'monthly income ₹10,416.66: PRE_APPROVED', 'monthly income ₹10,416.67: MANUAL_REVIEW'],
    ],
    [
      'an inverted comparison of the score, at a boundary that no number names',
      seedWith({
        'figures-minimum-score': { value: '600 + 43' },
        'rules-2': { 'rules-score': '> minimumScore' },
        'rules-3': { 'rules-score': '<= minimumScore' },
        'rules-4': { 'rules-score': '<= minimumScore' },
        'reasons-2': { 'reasons-when': '' },
        'reasons-3': { 'reasons-when': '' },
      }),
      'NOT_MONOTONE',
      ['better score', 'a score of 643', 'a score of 644', ': REJECTED'],
    ],
    [
      'off by one at 650',
      seedWith({ 'rules-2': { 'rules-score': '<= minimumScore' } }),
      'REASONS',
      ['a score of 650', 'SCORE_BELOW_MINIMUM is given for REJECTED', 'no row with this code'],
    ],
    [
      'an ignored income',
      seedWith({ 'rules-3': { 'rules-income': '' }, 'reasons-4': { 'reasons-when': '' } }),
      'INCOME_IGNORED',
      ['loan of ₹9,99,99,99,999.99', 'monthly income ₹0.01: PRE_APPROVED'],
    ],
    [
      'an unknown reason code',
      seedWith({ 'rules-2': { 'rules-because': "['SCORE_TOO_LOW']" } }),
      'REASONS',
      ['SCORE_TOO_LOW is given for REJECTED', 'no row with this code'],
    ],
    [
      'a reason that is declared for another outcome',
      seedWith({ 'rules-2': { 'rules-outcome': "'MANUAL_REVIEW'" } }),
      'REASONS',
      ['SCORE_BELOW_MINIMUM is given for MANUAL_REVIEW'],
    ],
    [
      'a decision without a reason',
      seedWith({ 'rules-2': { 'rules-because': '[]' } }),
      'REASONS',
      ['REJECTED comes without a reason'],
    ],
    [
      'a sentence with half a paisa',
      seedWith({ 'reasons-4': { 'reasons-message': '`₹[${monthlyIncomePaise / 2}] is enough.`' } }),
      'REASONS',
      ['INCOME_SUFFICIENT has an amount that is not whole paise'],
    ],
    ['an unknown outcome', seedWith({ 'rules-2': { 'rules-outcome': "'DENIED'" } }), 'UNKNOWN_OUTCOME', ['"DENIED"']],
    [
      'a rejection for lack of history',
      seedWith({
        'rules-1': { 'rules-outcome': "'REJECTED'" },
        'reasons-1': { 'reasons-outcome': "'REJECTED'" },
      }),
      'REJECTS_NO_HISTORY',
      ['no credit history', 'REJECTED', 'Reserve Bank'],
    ],
    [
      'chance that hides in the order of keys',
      seedWith({ 'rules-3': { 'rules-because': 'keys({ INCOME_SUFFICIENT: 1, SCORE_SUFFICIENT: 1 })' } }),
      'UNSTABLE',
      ['the first time', 'the second time', 'PRE_APPROVED'],
    ],
    [
      'a cell that the engine cannot read',
      seedWith({ 'rules-3': { 'rules-income': '> incomeSharePaise +' } }),
      'UNREADABLE',
      ['"Monthly income" in row 3 of "Rules" cannot be read'],
    ],
  ];
  test.each(faults)('%s', async (_fault, document, kind, message) => {
    const findings = await tryPolicy(document, trials);
    const finding = findings.find((one) => one.kind === kind);
    for (const part of message) expect(finding?.message, text(findings)).toContain(part);
    if (!['REASONS', 'UNDECIDED', 'UNKNOWN_OUTCOME'].includes(kind)) return;
    const example = finding?.examples[0];
    if (example === undefined) throw new Error('there is no example');
    await expect(loadPolicy(document).evaluate(example)).rejects.toMatchObject({ kind });
  });
});

test('a row is not taken for one that never decides when any trial shows that it does', async () => {
  const manual = { 'rules-outcome': "'MANUAL_REVIEW'", 'rules-because': "['SCORE_SUFFICIENT']" };
  const jdm = parseDocument(seedWith({ 'rules-3': { 'rules-score': '< 700', 'rules-income': '', ...manual } }));
  const at = (score: number): PolicyInput => ({ ...ordinary, score });
  expect(await contradictingRows(jdm, [at(300), at(660)], [at(300)])).toEqual([]);
  expect(await contradictingRows(jdm, [at(300), at(310)], [at(300)])).toHaveLength(1);
});

describe('in a process of its own the checker', () => {
  const [seed, foir] = shippedPolicies();

  test('passes what is shipped', async () => {
    const checks = [seed, foir].map((policy) => checkPolicy(policy?.document ?? ''));
    expect(await Promise.all(checks)).toEqual([[], []]);
  }, 60_000);

  test('passes a last row that would catch what the others leave', async () => {
    const rows = JSON.parse(seed?.document ?? '').nodes.find((node: { id: string }) => node.id === 'rules').content
      .rules;
    const otherwise = { ...rows[1], _id: 'otherwise', 'rules-score': ' ', 'rules-income': '' };
    expect(await checkPolicy(seedWith({ rules: { rules: [...rows, otherwise] } }), trials)).toEqual([]);
  });

  test('finds a formula that fails for one amount', async () => {
    const document = seedWith({
      'figures-income-share': { value: 'loanAmountPaise / 48 + 0 * (48 % (loanAmountPaise - 2000000))' },
    });
    const [finding, ...others] = await checkPolicy(document, trials);
    expect(others).toEqual([]);
    expect(finding).toMatchObject({ kind: 'THROWS', message: expect.stringContaining('loan of ₹20,000.00') });
  });

  test('refuses what does not end, and nothing of it is left running', async () => {
    const list = text(Array.from({ length: 60 }, (_, index) => index));
    const nested = Array.from({ length: 6 }).reduce<string>((inner) => `sum(map(${list}, ${inner}))`, '#');
    const before = process.getActiveResourcesInfo().length;
    const findings = await checkPolicy(seedWith({ 'figures-income-share': { value: nested } }), { timeoutMs: 1_500 });
    expect(findings.map(({ kind }) => kind)).toEqual(['UNFINISHED']);
    expect(process.getActiveResourcesInfo().length).toBeLessThanOrEqual(before);
  });
});

test.each([
  ['what is not JSON', '{"nodes": [', 'UNREADABLE', 'not JSON'],
  ['what is not a decision model', '[]', 'UNREADABLE', 'expected object'],
  ['what is too large', ' '.repeat(policyLimits.documentMaxBytes + 1), 'TOO_LARGE', 'at most 65536'],
  ['code', seedWith({ figures: {} }).replace('expressionNode', 'functionNode'), 'UNREADABLE', 'is a functionNode'],
  ['a second output', seedWith({}).replace('inputNode', 'outputNode'), 'UNREADABLE', '0 nodes of type inputNode'],
  ['a loose end', seedWith({ 'rules-reasons': { targetId: 'nowhere' } }), 'UNREADABLE', 'nowhere'],
  [
    'reasons that are not declared',
    seedWith({ reasons: { hitPolicy: 'first' } }),
    'UNREADABLE',
    'declares the reasons',
  ],
  [
    'a code that is a formula',
    seedWith({ 'reasons-2': { 'reasons-code': 'loanType' } }),
    'UNREADABLE',
    'Row 2 of "Reasons"',
  ],
  [
    'a row without a cell',
    seedWith({ 'rules-2': { 'rules-income': undefined } }),
    'UNREADABLE',
    'Row 2 of "Rules" has no cell',
  ],
  ['chance', seedWith({ 'figures-minimum-score': { value: 'rand (900)' } }), 'UNSTABLE', '"minimumScore" of "Figures"'],
  ['the clock', seedWith({ 'rules-2': { 'rules-score': "< year(d('now'))" } }), 'UNSTABLE', 'row 2 of "Rules"'],
  [
    'chance at the end of a range',
    seedWith({ 'figures-minimum-score': { value: 'score in [0..rand(900)] ? 650 : 651' } }),
    'UNSTABLE',
    'random',
  ],
  ['endless lists', seedWith({ 'figures-minimum-score': { value: 'sum(map([1..9000000], #))' } }), 'UNSTABLE', 'range'],
  [
    'an endless list that another formula runs over',
    seedWith({
      'figures-minimum-score': { value: '[1..3000000]' },
      'figures-income-share': { value: 'sum(map($.minimumScore, #))' },
    }),
    'UNSTABLE',
    '"minimumScore" of "Figures" has a range',
  ],
  [
    'an endless list in the test of a cell',
    seedWith({ 'rules-3': { 'rules-score': '> sum(map([1..3000000], #))' } }),
    'UNSTABLE',
    'row 3 of "Rules" has a range',
  ],
  [
    'a formula that is too long',
    seedWith({ 'figures-minimum-score': { value: '1 + '.repeat(policyLimits.formulaMaxChars / 4) + '1' } }),
    'TOO_LARGE',
    '"minimumScore" of "Figures" has 2001 characters; a formula has at most 2000',
  ],
  [
    'a table that is too wide',
    seedWith({ rules: { inputs: Array.from({ length: 51 }, (_, id) => ({ id: `${id}` })) } }),
    'UNREADABLE',
    '<=50 items',
  ],
  [
    'a sentence that could not be recorded',
    seedWith({ 'reasons-1': { 'reasons-message': "'a\u0000b'" } }),
    'UNREADABLE',
    'NUL',
  ],
])('%s is refused before it is tried', async (_what, document, kind, message) => {
  const findings = await checkPolicy(document);
  expect(findings).toContainEqual({ kind, message: expect.stringContaining(message), examples: [] });
  expect(() => loadPolicy(document)).toThrow(InvalidPolicyError);
});

test('what would take long to read is read as soon as any other document of its size', () => {
  const { formulaMaxChars } = policyLimits;
  const leastMs = (formula: string, count: number) => {
    const expressions = Array.from({ length: count }, (_, index) => ({
      id: `${index}`,
      key: `x${index}`,
      value: formula,
    }));
    const document = seedWith({ figures: { expressions } });
    const times = Array.from({ length: 5 }, () => {
      const startedAt = performance.now();
      try {
        loadPolicy(document);
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidPolicyError);
      }
      return performance.now() - startedAt;
    });
    return Math.min(...times);
  };
  const filled = (part: string, chars: number) => part.repeat(chars).slice(0, chars);
  const ordinaryMs = leastMs(filled('a + ', formulaMaxChars), 25);
  for (const part of [
    '`',
    "'`",
    '`${',
    "`${'",
    'map(',
    'map(.',
    'rand ',
    'd ',
    '1',
    '1.',
    '.1',
    '[',
    'in [',
    '{',
    ' ',
  ]) {
    expect(leastMs(filled(part, formulaMaxChars), 25), part).toBeLessThan(8 * ordinaryMs);
    expect(leastMs(filled(part, 50_000), 1), part).toBeLessThan(8 * ordinaryMs);
  }
  expect(leastMs(`\`${filled('${', 50_000)}`, 1)).toBeLessThan(8 * ordinaryMs);
});

test('a score may be asked for in a range', async () => {
  const ranges = {
    'figures-minimum-score': { value: 'score == null or score in [300..900] ? 650 : 651' },
    'rules-2': { 'rules-score': '[300..minimumScore)' },
    'rules-3': { 'rules-score': '[minimumScore..749], [750..900]' },
    'rules-4': { 'rules-score': '$ in [minimumScore..900]' },
  };
  expect(await tryPolicy(seedWith(ranges), trials)).toEqual([]);
});

test('functions are known in formulas and not in texts', async () => {
  const sentence = {
    'reasons-1': { 'reasons-message': "'Wait: the underwriter may d(raw) or rand(omise) it [1..2].'" },
  };
  expect(await tryPolicy(seedWith(sentence), { seed: 1, randomTrials: 0 })).toEqual([]);
});
