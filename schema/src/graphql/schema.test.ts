import { readFileSync } from 'node:fs';
import {
  buildSchema,
  findBreakingChanges,
  type GraphQLField,
  type GraphQLInputField,
  type GraphQLNamedType,
  type GraphQLSchema,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  isScalarType,
} from 'graphql';
import { describe, expect, test } from 'vitest';
import { printedSchemaFile, printServedSchema } from '../print.ts';
import { createSchema } from './index.ts';

const contract = buildSchema(readFileSync(new URL('../../contract.graphql', import.meta.url), 'utf8'));
const served = createSchema();

type Member = GraphQLField<unknown, unknown> | GraphQLInputField;

function membersOf(type: GraphQLNamedType | undefined): Member[] {
  if (!isObjectType(type) && !isInterfaceType(type) && !isInputObjectType(type)) return [];
  return Object.values(type.getFields() as Record<string, Member>);
}

/** Every type and field of a schema by its name, e.g. `Query.application` = `(id: ID!): Application`. */
function signatures(schema: GraphQLSchema): Map<string, string> {
  const found = new Map<string, string>();
  for (const type of Object.values(schema.getTypeMap())) {
    if (type.name.startsWith('__')) continue;
    found.set(type.name, type.constructor.name);
    for (const member of membersOf(type)) {
      const args = 'args' in member ? member.args : [];
      const given = args.map((arg) => `${arg.name}: ${String(arg.type)} = ${JSON.stringify(arg.defaultValue)}`);
      const byDefault = 'defaultValue' in member ? ` = ${JSON.stringify(member.defaultValue)}` : '';
      found.set(`${type.name}.${member.name}`, `(${given.toSorted().join(', ')}): ${String(member.type)}${byDefault}`);
    }
  }
  return found;
}

describe('the contract', () => {
  test('is broken nowhere', () => {
    expect(findBreakingChanges(contract, served)).toEqual([]);
  });

  test('is served with its exact arguments, defaults and nullability', () => {
    const present = signatures(served);
    const promised = [...signatures(contract)].filter(([name]) => present.has(name));
    expect(Object.fromEntries(promised.map(([name]) => [name, present.get(name)]))).toEqual(
      Object.fromEntries(promised),
    );
    // Fewer would mean that the comparison has lost its subject.
    expect(promised.map(([name]) => name)).toContain('Mutation.submitApplication');
    expect(promised.map(([name]) => name)).toContain('SubmitApplicationInput.idempotencyKey');
  });

  test('is free of breaks when nothing is left out: the comparison itself is sound', () => {
    expect(findBreakingChanges(contract, contract)).toEqual([]);
  });
});

test('the committed schema.graphql is the served schema (node schema/src/print.ts writes it)', () => {
  expect(readFileSync(printedSchemaFile, 'utf8')).toBe(printServedSchema());
});

describe('a reader in GraphiQL finds described', () => {
  const types = Object.values(served.getTypeMap()).filter((type) => !type.name.startsWith('__'));
  const roots = [served.getQueryType(), served.getMutationType(), served.getSubscriptionType()];
  const described = (text: string | null | undefined) => (text ?? '').trim().length > 0;

  test('every type but the three roots', () => {
    const ours = types.filter((type) => !roots.includes(type as never));
    expect(ours.filter((type) => !described(type.description)).map((type) => type.name)).toEqual([]);
  });

  test('every query, mutation and subscription', () => {
    const operations = roots.flatMap((root) => membersOf(root ?? undefined));
    expect(operations.length).toBeGreaterThanOrEqual(3);
    expect(operations.filter((field) => !described(field.description)).map((field) => field.name)).toEqual([]);
  });

  test('every argument', () => {
    const args = types.flatMap((type) =>
      membersOf(type).flatMap((field) =>
        ('args' in field ? field.args : []).map((arg) => ({ ...arg, name: `${type.name}.${field.name}.${arg.name}` })),
      ),
    );
    expect(args.length).toBeGreaterThanOrEqual(4);
    expect(args.filter((arg) => !described(arg.description)).map((arg) => arg.name)).toEqual([]);
  });

  test('every field of an input', () => {
    const fields = types.filter(isInputObjectType).flatMap(membersOf);
    expect(fields.length).toBeGreaterThanOrEqual(6);
    expect(fields.filter((field) => !described(field.description)).map((field) => field.name)).toEqual([]);
  });

  test('every field that may be null: when it is', () => {
    const nullable = types.filter(isObjectType).flatMap((type) =>
      membersOf(type)
        .filter((field) => !String(field.type).endsWith('!'))
        .map((field) => ({ name: `${type.name}.${field.name}`, description: field.description })),
    );
    expect(nullable.length).toBeGreaterThanOrEqual(5);
    expect(nullable.filter((field) => !/\bnull\b/.test(field.description ?? '')).map((field) => field.name)).toEqual(
      [],
    );
  });

  test('which errors a call can be refused with', () => {
    const refusing = roots
      .flatMap((root) => membersOf(root ?? undefined))
      .filter((field) => String(field.type).endsWith('!'));
    expect(refusing.filter((field) => !/Errors?: [A-Z_]{5,}/.test(field.description ?? '')).map((f) => f.name)).toEqual(
      [],
    );
  });

  test('the custom scalars, with an example of each', () => {
    const ours = types.filter(isScalarType).filter((type) => ['DateTime', 'Decimal'].includes(type.name));
    expect(ours.map((type) => /e\.g\. "?\d/.test(type.description ?? ''))).toEqual([true, true]);
  });
});
