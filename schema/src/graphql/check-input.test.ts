import fc from 'fast-check';
import type { GraphQLInputObjectType, GraphQLInputType } from 'graphql';
import { GraphQLInt, GraphQLList, GraphQLNonNull, parseValue } from 'graphql';
import { describe, expect, test } from 'vitest';
import { checkInput, type Given } from './check-input.ts';
import { createSchema } from './index.ts';

const inputType = createSchema().getType('SubmitApplicationInput') as GraphQLInputObjectType;
const argument = new GraphQLNonNull(inputType);

const sound = {
  panNumber: 'ABCDE1234F',
  applicantName: 'Asha Rao',
  monthlyIncomeInr: '75000.00',
  loanAmountInr: '500000.00',
  loanType: 'HOME',
  idempotencyKey: 'k-1',
};

const json = (value: unknown): Given => ({ form: 'json', value });

function faultsOf(value: unknown): string[] {
  return checkInput(argument, json(value), ['input']).map((issue) => `${issue.path.join('.')} ${issue.code}`);
}

describe('sound input has no faults', () => {
  test.each([
    ['everything given', sound],
    ['only what is required', { ...sound, applicantName: undefined, idempotencyKey: undefined }],
    ['null for what may be left out', { ...sound, applicantName: null, idempotencyKey: null }],
    ['amounts as JSON numbers', { ...sound, monthlyIncomeInr: 75000, loanAmountInr: 500000.5 }],
    ['the least amount', { ...sound, monthlyIncomeInr: '0.01' }],
    ['the greatest amount', { ...sound, loanAmountInr: '9999999999.99' }],
    ['a name of 255 characters after trimming', { ...sound, applicantName: ` ${'n'.repeat(255)} ` }],
    ['a name of 255 characters outside the basic plane', { ...sound, applicantName: '𑀓'.repeat(255) }],
    ['a key of 255 characters', { ...sound, idempotencyKey: 'k'.repeat(255) }],
  ])('%s', (_what, value) => {
    expect(faultsOf(value)).toEqual([]);
  });
});

describe('each fault is named by its path and code', () => {
  test.each([
    ['panNumber', undefined, 'REQUIRED'],
    ['panNumber', null, 'REQUIRED'],
    ['panNumber', 12345, 'INVALID_TYPE'],
    ['panNumber', '', 'INVALID_VALUE'],
    ['panNumber', 'abcde1234f', 'INVALID_VALUE'],
    ['panNumber', 'ABCDE1234', 'INVALID_VALUE'],
    ['panNumber', 'ABCDE1234FG', 'INVALID_VALUE'],
    ['panNumber', 'ABCDE1234F\n', 'INVALID_VALUE'],
    ['panNumber', ' ABCDE1234F', 'INVALID_VALUE'],
    ['panNumber', 'ABCD01234F', 'INVALID_VALUE'],
    ['applicantName', '', 'INVALID_VALUE'],
    ['applicantName', '   ', 'INVALID_VALUE'],
    ['applicantName', 'n'.repeat(256), 'INVALID_VALUE'],
    ['applicantName', 'a\u0000b', 'INVALID_VALUE'],
    ['applicantName', ['Asha'], 'INVALID_TYPE'],
    ['monthlyIncomeInr', undefined, 'REQUIRED'],
    ['monthlyIncomeInr', 0, 'INVALID_VALUE'],
    ['monthlyIncomeInr', -1, 'INVALID_VALUE'],
    ['monthlyIncomeInr', '75000.001', 'INVALID_VALUE'],
    ['monthlyIncomeInr', 75000.001, 'INVALID_VALUE'],
    ['monthlyIncomeInr', true, 'INVALID_VALUE'],
    ['loanAmountInr', null, 'REQUIRED'],
    ['loanAmountInr', '10000000000', 'INVALID_VALUE'],
    ['loanAmountInr', 1e21, 'INVALID_VALUE'],
    ['loanAmountInr', 'lots', 'INVALID_VALUE'],
    ['loanType', undefined, 'REQUIRED'],
    ['loanType', 'GOLD', 'INVALID_VALUE'],
    ['loanType', 'toString', 'INVALID_VALUE'],
    ['loanType', 3, 'INVALID_VALUE'],
    ['idempotencyKey', '', 'INVALID_VALUE'],
    ['idempotencyKey', 'k'.repeat(256), 'INVALID_VALUE'],
    ['idempotencyKey', 'a\u007fb', 'INVALID_VALUE'],
    ['idempotencyKey', 7, 'INVALID_TYPE'],
  ])('%s = %j is %s', (field, value, code) => {
    expect(faultsOf({ ...sound, [field]: value })).toEqual([`input.${field} ${code}`]);
  });

  test.each([
    [undefined, 'REQUIRED'],
    [null, 'REQUIRED'],
    ['ABCDE1234F', 'INVALID_TYPE'],
    [[sound], 'INVALID_TYPE'],
  ])('the whole input = %j is %s', (value, code) => {
    expect(faultsOf(value)).toEqual([`input ${code}`]);
  });

  test.each(['panNumbr', '__proto__', 'toString', 'ABCDE1234F'])('an unknown field %s is refused unnamed', (name) => {
    const value = JSON.parse(`{"${name}": 1, ${JSON.stringify(sound).slice(1)}`);
    const issues = checkInput(argument, json(value), ['input']);
    expect(issues).toEqual([
      {
        path: ['input'],
        code: 'UNKNOWN_FIELD',
        message: 'has a field that SubmitApplicationInput does not know',
      },
    ]);
  });

  test('the members of an enum are told, so that the client can correct itself', () => {
    const [issue] = checkInput(argument, json({ ...sound, loanType: 'GOLD' }), ['input']);
    expect(issue?.message).toBe('must be one of AUTO, HOME, PERSONAL');
  });
});

// For each field: values that are wrong there, marked so that they can be found in a message.
const marked = fc.string({ maxLength: 12, unit: 'grapheme' }).map((rest) => `§${rest}§`);
const wrong: Record<keyof typeof sound, fc.Arbitrary<unknown>> = {
  panNumber: fc.oneof(marked, fc.array(marked), fc.constantFrom(undefined, null)),
  applicantName: fc.oneof(
    marked.map((text) => `${text}\n${text}`),
    fc.array(marked),
    marked.map((text) => text.repeat(256)),
  ),
  monthlyIncomeInr: fc.oneof(marked, fc.array(marked), fc.constantFrom(undefined, null, 0, -1)),
  loanAmountInr: fc.oneof(marked, fc.dictionary(marked, marked), fc.constantFrom(undefined, null)),
  loanType: fc.oneof(marked, fc.array(marked), fc.constantFrom(undefined, null)),
  idempotencyKey: fc.oneof(
    marked.map((text) => `${text}\t`),
    fc.array(marked),
  ),
};
const fields = Object.keys(wrong) as (keyof typeof sound)[];

test('every fault is reported at once, each with its own path, and none but those', () => {
  fc.assert(
    fc.property(fc.subarray(fields), fc.record(wrong), (spoilt, values) => {
      const input = { ...sound, ...Object.fromEntries(spoilt.map((field) => [field, values[field]])) };
      const paths = checkInput(argument, json(input), ['input']).map((issue) => issue.path);
      expect(new Set(paths.map(String))).toEqual(new Set(spoilt.map((field) => `input,${field}`)));
      expect(paths).toHaveLength(spoilt.length);
    }),
  );
});

test('no fault repeats the offending value', () => {
  fc.assert(
    fc.property(fc.record({ ...wrong, extra: marked }), marked, (input, unknownName) => {
      const issues = checkInput(argument, json({ ...input, [unknownName]: 1 }), ['input']);
      expect(issues).toHaveLength(fields.length + 1);
      expect(JSON.stringify(issues)).not.toContain('§');
    }),
  );
});

describe('lists', () => {
  const list: GraphQLInputType = new GraphQLList(new GraphQLNonNull(GraphQLInt));

  test('a fault in a list is named by its index', () => {
    const issues = checkInput(list, json([1, 'x', 3, null]), ['ids']);
    expect(issues.map((issue) => [issue.path, issue.code])).toEqual([
      [['ids', 1], 'INVALID_TYPE'],
      [['ids', 3], 'REQUIRED'],
    ]);
  });

  test('a single value stands for a list of one, as GraphQL has it', () => {
    expect(checkInput(list, json(1), ['ids'])).toEqual([]);
    expect(checkInput(list, json('x'), ['ids'])).toHaveLength(1);
  });
});

describe('literals of a document', () => {
  const faults = (text: string, variables: Record<string, unknown> = {}) => {
    const variable = (name: string) => (name in variables ? json(variables[name]) : undefined);
    const issues = checkInput(argument, { form: 'literal', node: parseValue(text), variable }, ['input']);
    return issues.map((issue) => `${issue.path.join('.')} ${issue.code}`);
  };
  const rest = 'monthlyIncomeInr: "1", loanAmountInr: 2.5, loanType: HOME';

  test('are sound when they are', () => {
    expect(faults(`{ panNumber: "ABCDE1234F", applicantName: null, ${rest} }`)).toEqual([]);
  });

  test('have every fault reported at once, of type and of content', () => {
    const text =
      '{ panNumber: 1, applicantName: "", monthlyIncomeInr: 1e2, loanAmountInr: 75000.0000000000001, loanType: "HOME", x: 1 }';
    expect(faults(text)).toEqual([
      'input.applicantName INVALID_VALUE',
      'input.loanAmountInr INVALID_VALUE',
      'input.loanType INVALID_VALUE',
      'input.monthlyIncomeInr INVALID_VALUE',
      'input.panNumber INVALID_TYPE',
      'input UNKNOWN_FIELD',
    ]);
  });

  test('are checked together with the variables that stand in them', () => {
    const text =
      '{ panNumber: $pan, applicantName: "", monthlyIncomeInr: $income, loanAmountInr: "0", loanType: $missing }';
    expect(faults(text, { pan: 'bad', income: 'x' })).toEqual([
      'input.applicantName INVALID_VALUE',
      'input.loanAmountInr INVALID_VALUE',
      'input.loanType REQUIRED',
      'input.monthlyIncomeInr INVALID_VALUE',
      'input.panNumber INVALID_VALUE',
    ]);
    expect(faults('$whole', { whole: { panNumber: 'bad' } })).toContain('input.panNumber INVALID_VALUE');
    expect(faults('$missing')).toEqual(['input REQUIRED']);
  });
});
