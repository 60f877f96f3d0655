import {
  GraphQLError,
  type GraphQLInputField,
  type GraphQLInputType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
} from 'graphql';
import { z } from 'zod';
import type { InputIssue } from '../refusal.ts';

/**
 * Every fault of an input value at once, each with its path, none with the offending value: graphql-js
 * stops at faults of type before a resolver sees faults of content, and quotes the value in its message.
 *
 * `form` is `raw` for a value as the client sent it (JSON) and `coerced` for one graphql-js has already
 * turned into arguments, where only the checks of `checkedBy` are left to do. An empty answer means sound.
 */
export function checkInput(
  type: GraphQLInputType,
  value: unknown,
  path: (string | number)[],
  form: 'raw' | 'coerced',
): InputIssue[] {
  if (isNonNullType(type)) {
    if (value === undefined || value === null) return [{ path, code: 'REQUIRED', message: 'is required' }];
    return checkInput(type.ofType, value, path, form);
  }
  if (value === undefined || value === null) return [];
  if (isListType(type)) {
    const items = Array.isArray(value) ? value : [value];
    return items.flatMap((item, index) => checkInput(type.ofType, item, [...path, index], form));
  }
  if (isInputObjectType(type)) {
    if (typeof value !== 'object' || Array.isArray(value)) {
      return [{ path, code: 'INVALID_TYPE', message: 'must be an object' }];
    }
    const given = value as Record<string, unknown>;
    const fields = type.getFields();
    const issues = Object.values(fields).flatMap((field) => checkField(field, given[field.name], path, form));
    if (Object.keys(given).every((key) => Object.hasOwn(fields, key))) return issues;
    // The unknown name is not repeated: it is the client's text, and may be anything.
    return [...issues, { path, code: 'UNKNOWN_FIELD', message: `has a field that ${type.name} does not know` }];
  }
  if (form === 'coerced') return [];
  try {
    type.parseValue(value);
    return [];
  } catch (error) {
    if (isEnumType(type)) {
      const names = type.getValues().map((member) => member.name);
      return [{ path, code: 'INVALID_VALUE', message: `must be one of ${names.join(', ')}` }];
    }
    // Our scalars' messages are fixed sentences; those of graphql-js quote the value.
    const ours = error instanceof GraphQLError && error.message.startsWith('must ');
    return [
      {
        path,
        code: ours ? 'INVALID_VALUE' : 'INVALID_TYPE',
        message: ours ? error.message : `must be of type ${type.name}`,
      },
    ];
  }
}

function checkField(
  field: GraphQLInputField,
  value: unknown,
  parent: (string | number)[],
  form: 'raw' | 'coerced',
): InputIssue[] {
  if (value === undefined && field.defaultValue !== undefined) return [];
  const path = [...parent, field.name];
  const issues = checkInput(field.type, value, path, form);
  const check = field.extensions['check'];
  if (issues.length > 0 || value === undefined || value === null || !(check instanceof z.ZodType)) return issues;
  const checked = check.safeParse(value);
  if (checked.success) return [];
  return checked.error.issues.map((issue) => ({ path, code: 'INVALID_VALUE', message: issue.message }));
}
