import {
  type GraphQLArgument,
  GraphQLError,
  type GraphQLInputField,
  type GraphQLInputObjectType,
  type GraphQLInputType,
  type GraphQLLeafType,
  type GraphQLSchema,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  Kind,
  type ValueNode,
} from 'graphql';
import { z } from 'zod';
import type { InputIssue } from '../refusal.ts';

/** An input as the client gave it: JSON from the variables, or a literal of the document with variables in it. */
export type Given =
  | { form: 'json'; value: unknown }
  | { form: 'literal'; node: ValueNode; variable: (name: string) => Given | undefined };

/**
 * Every fault of an input at once, each with its path, none with the offending value: graphql-js stops at
 * faults of type before a resolver sees faults of content, and quotes the value in its message. Undefined
 * stands for an input that was not given. An empty answer means sound.
 */
export function checkInput(type: GraphQLInputType, input: Given | undefined, path: (string | number)[]): InputIssue[] {
  const given = resolved(input);
  if (isNonNullType(type)) {
    return given ? checkInput(type.ofType, given, path) : [required(path)];
  }
  if (!given) return [];
  if (isListType(type)) {
    return itemsOf(given).flatMap((item, index) => checkInput(type.ofType, item, [...path, index]));
  }
  return isInputObjectType(type) ? checkObject(type, given, path) : checkLeaf(type, given, path);
}

function required(path: (string | number)[]): InputIssue {
  return { path, code: 'REQUIRED', message: 'is required' };
}

/** Makes `checkInput` want a field that the type itself leaves to the client: what one lender demands is not part of the API. */
export function demand(schema: GraphQLSchema, typeName: string, fieldName: string): void {
  const type = schema.getType(typeName);
  const field = isInputObjectType(type) ? type.getFields()[fieldName] : undefined;
  if (!field) throw new Error(`there is no ${typeName}.${fieldName} to be demanded`);
  field.extensions = { ...field.extensions, isDemanded: true };
}

/** Follows variables to what they stand for; undefined for null and for what was not given. */
function resolved(given: Given | undefined): Given | undefined {
  if (!given) return undefined;
  if (given.form === 'json') return given.value === null || given.value === undefined ? undefined : given;
  if (given.node.kind === Kind.VARIABLE) return resolved(given.variable(given.node.name.value));
  return given.node.kind === Kind.NULL ? undefined : given;
}

function itemsOf(given: Given): Given[] {
  if (given.form === 'json') {
    return Array.isArray(given.value) ? given.value.map((value) => ({ form: 'json', value })) : [given];
  }
  return given.node.kind === Kind.LIST ? given.node.values.map((node) => ({ ...given, node })) : [given];
}

/** The fields of an object by their names; undefined for anything else. A map, since a name may be `__proto__`. */
function fieldsOf(given: Given): Map<string, Given> | undefined {
  if (given.form === 'json') {
    if (typeof given.value !== 'object' || given.value === null || Array.isArray(given.value)) return undefined;
    return new Map(Object.entries(given.value).map(([name, value]) => [name, { form: 'json', value }]));
  }
  if (given.node.kind !== Kind.OBJECT) return undefined;
  return new Map(given.node.fields.map(({ name, value }) => [name.value, { ...given, node: value }]));
}

function checkObject(type: GraphQLInputObjectType, given: Given, path: (string | number)[]): InputIssue[] {
  const members = fieldsOf(given);
  if (!members) return [{ path, code: 'INVALID_TYPE', message: 'must be an object' }];
  const fields = Object.values(type.getFields());
  const issues = fields.flatMap((field) => checkField(field, members.get(field.name), [...path, field.name]));
  const known = new Set(fields.map((field) => field.name));
  if ([...members.keys()].every((name) => known.has(name))) return issues;
  // The unknown name is not repeated: it is the client's text, and may be anything.
  return [...issues, { path, code: 'UNKNOWN_FIELD', message: `has a field that ${type.name} does not know` }];
}

/** As `checkInput`, with what the field or the argument itself asks of its text, see `checkedBy`. */
export function checkField(
  field: GraphQLInputField | GraphQLArgument,
  input: Given | undefined,
  path: (string | number)[],
): InputIssue[] {
  if (input === undefined && field.defaultValue !== undefined) return [];
  if (field.extensions['isDemanded'] === true && !resolved(input)) return [required(path)];
  const issues = checkInput(field.type, input, path);
  const text = textOf(resolved(input));
  const check = field.extensions['check'];
  if (issues.length > 0 || text === undefined || !(check instanceof z.ZodType)) return issues;
  const checked = check.safeParse(text);
  if (checked.success) return [];
  return checked.error.issues.map((issue) => ({ path, code: 'INVALID_VALUE', message: issue.message }));
}

function textOf(given: Given | undefined): unknown {
  if (given?.form === 'literal') return given.node.kind === Kind.STRING ? given.node.value : undefined;
  return given?.value;
}

function checkLeaf(type: GraphQLLeafType, given: Given, path: (string | number)[]): InputIssue[] {
  try {
    if (given.form === 'json') type.parseValue(given.value);
    // Variables were resolved above, and a leaf that looks into lists or objects does not exist here.
    else type.parseLiteral(given.node, undefined);
    return [];
  } catch (error) {
    if (isEnumType(type)) {
      const names = type.getValues().map((member) => member.name);
      return [{ path, code: 'INVALID_VALUE', message: `must be one of ${names.join(', ')}` }];
    }
    // Our scalars' messages are fixed sentences; those of graphql-js quote the value.
    if (error instanceof GraphQLError && error.message.startsWith('must ')) {
      return [{ path, code: 'INVALID_VALUE', message: error.message }];
    }
    return [{ path, code: 'INVALID_TYPE', message: `must be of type ${type.name}` }];
  }
}
