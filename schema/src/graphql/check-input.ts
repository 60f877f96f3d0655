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
export function checkInput(type: GraphQLInputType, input: Given | undefined, path: Path): readonly InputIssue[] {
  return below(path, issuesOf(type, input));
}

type Path = (string | number)[];

const none: readonly InputIssue[] = [];

// Nearly every input is sound: paths are put together where there is something to say, and only then.
function below(path: Path, issues: readonly InputIssue[]): readonly InputIssue[] {
  return issues.length === 0 ? none : issues.map((issue) => ({ ...issue, path: [...path, ...issue.path] }));
}

function issuesOf(type: GraphQLInputType, input: Given | undefined): readonly InputIssue[] {
  const given = resolved(input);
  if (isNonNullType(type)) return given ? issuesOf(type.ofType, given) : [required];
  if (!given) return none;
  if (isListType(type)) {
    return itemsOf(given).flatMap((item, index) => below([index], issuesOf(type.ofType, item)));
  }
  return isInputObjectType(type) ? issuesOfObject(type, given) : issuesOfLeaf(type, given);
}

const required: InputIssue = { path: [], code: 'REQUIRED', message: 'is required' };

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

type Members = { names: string[]; find: (name: string) => Given | undefined };

/** The fields of an object; undefined for anything else. Own ones alone, since a name may be `__proto__`. */
function membersOf(given: Given): Members | undefined {
  if (given.form === 'json') {
    const { value } = given;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    const members = value as Record<string, unknown>;
    return {
      names: Object.keys(members),
      find: (name) => (Object.hasOwn(members, name) ? { form: 'json', value: members[name] } : undefined),
    };
  }
  if (given.node.kind !== Kind.OBJECT) return undefined;
  const members = new Map(given.node.fields.map(({ name, value }) => [name.value, { ...given, node: value }]));
  return { names: [...members.keys()], find: (name) => members.get(name) };
}

function issuesOfObject(type: GraphQLInputObjectType, given: Given): readonly InputIssue[] {
  const members = membersOf(given);
  if (!members) return [{ path: [], code: 'INVALID_TYPE', message: 'must be an object' }];
  const fields = type.getFields();
  const issues = Object.values(fields).flatMap((field) => issuesOfField(field, members.find(field.name)));
  if (members.names.every((name) => Object.hasOwn(fields, name))) return issues;
  // The unknown name is not repeated: it is the client's text, and may be anything.
  return [...issues, { path: [], code: 'UNKNOWN_FIELD', message: `has a field that ${type.name} does not know` }];
}

/** As `checkInput`, with what the argument itself asks of its text, see `checkedBy`; at the path of its name. */
export function checkArgument(argument: GraphQLArgument, input: Given | undefined): readonly InputIssue[] {
  return issuesOfField(argument, input);
}

function issuesOfField(field: GraphQLInputField | GraphQLArgument, input: Given | undefined): readonly InputIssue[] {
  if (input === undefined && field.defaultValue !== undefined) return none;
  const given = resolved(input);
  if (field.extensions['isDemanded'] === true && !given) return below([field.name], [required]);
  const issues = issuesOf(field.type, given);
  if (issues.length > 0) return below([field.name], issues);
  const check = field.extensions['check'];
  if (check === undefined || !given) return none;
  const text = textOf(given);
  if (text === undefined || !(check instanceof z.ZodType)) return none;
  const checked = check.safeParse(text);
  if (checked.success) return none;
  return checked.error.issues.map(({ message }) => ({ path: [field.name], code: 'INVALID_VALUE', message }));
}

function textOf(given: Given): unknown {
  if (given.form === 'literal') return given.node.kind === Kind.STRING ? given.node.value : undefined;
  return given.value;
}

function issuesOfLeaf(type: GraphQLLeafType, given: Given): readonly InputIssue[] {
  try {
    if (given.form === 'json') type.parseValue(given.value);
    // Variables were resolved above, and a leaf that looks into lists or objects does not exist here.
    else type.parseLiteral(given.node, undefined);
    return none;
  } catch (error) {
    if (isEnumType(type)) {
      const names = type.getValues().map((member) => member.name);
      return [{ path: [], code: 'INVALID_VALUE', message: `must be one of ${names.join(', ')}` }];
    }
    // Our scalars' messages are fixed sentences; those of graphql-js quote the value.
    if (error instanceof GraphQLError && error.message.startsWith('must ')) {
      return [{ path: [], code: 'INVALID_VALUE', message: error.message }];
    }
    return [{ path: [], code: 'INVALID_TYPE', message: `must be of type ${type.name}` }];
  }
}
