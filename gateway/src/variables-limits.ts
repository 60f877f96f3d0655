import { GraphQLError } from 'graphql';

export type VariablesLimits = { chars: number; depth: number; list: number };

/** Refuses variables that are larger, nest deeper or list more than any operation of the API takes. */
export function variablesRefusal(variables: unknown, limits: VariablesLimits): GraphQLError | undefined {
  let chars = 0;

  function beyond(value: unknown, depth: number): keyof VariablesLimits | undefined {
    chars += typeof value === 'string' ? value.length : 1;
    if (chars > limits.chars) return 'chars';
    if (typeof value !== 'object' || value === null) return undefined;
    // The object that holds all variables is no level of any of them.
    if (depth > limits.depth) return 'depth';
    if (Array.isArray(value) && value.length > limits.list) return 'list';
    for (const [name, item] of Object.entries(value)) {
      chars += name.length;
      const found = beyond(item, depth + 1);
      if (found) return found;
    }
    return undefined;
  }

  const limit = beyond(variables, 0);
  if (!limit) return undefined;
  const message = `The variables are beyond a limit (${limit}: at most ${limits[limit]}). Send fewer or shorter ones.`;
  return new GraphQLError(message, { extensions: { code: 'VARIABLES_TOO_LARGE', limit, max: limits[limit] } });
}
