import { validationFailed } from '@prequal/schema';
import { checkArgument, checkInput, type Given } from '@prequal/schema/graphql';
import {
  type DocumentNode,
  type ExecutionArgs,
  type GraphQLArgument,
  GraphQLError,
  type GraphQLInputType,
  type GraphQLSchema,
  getOperationAST,
  isInputType,
  type OperationDefinitionNode,
  separateOperations,
  specifiedRules,
  TypeInfo,
  typeFromAST,
  type ValueNode,
  ValuesOfCorrectTypeRule,
  validate,
  visit,
  visitWithTypeInfo,
} from 'graphql';
import { unreadable } from './client-errors.ts';

/**
 * graphql-js refuses ill-typed input before any resolver runs, literals at another time than variables, one
 * fault at a time where they nest, and quotes the value: a PAN in a wrong place would stand in the answer.
 * So validation leaves input values alone, and before an operation runs all of them are checked here.
 */
export const validateDocument: typeof validate = (schema, document, rules = specifiedRules, ...rest) => {
  const withoutValues = rules.filter((rule) => rule !== ValuesOfCorrectTypeRule);
  try {
    return validate(schema, document, withoutValues, ...rest);
  } catch (error) {
    // Fragments in a ring exhaust the stack before the rule that forbids them has seen it.
    if (error instanceof RangeError) return [unreadable()];
    throw error;
  }
};

/** Every fault of the arguments and variables of the operation to be run, as one VALIDATION_FAILED; or none. */
export function checkArguments(args: ExecutionArgs): GraphQLError[] {
  const { schema, document, operationName, variableValues } = args;
  const operation = getOperationAST(document, operationName);
  if (!operation) return [];
  const { used, unused, defaults } = inputsOf(schema, document, operation);
  const variable = variablesOf(variableValues ?? {}, defaults);
  const issues = [
    ...used.flatMap(({ argument, node }) => checkArgument(argument, { form: 'literal', node, variable })),
    ...unused.flatMap(({ type, name }) => checkInput(type, variable(name), [name])),
  ];
  if (issues.length === 0) return [];
  const refusal = validationFailed(issues);
  return [new GraphQLError(refusal.message, { extensions: { code: refusal.code, ...refusal.details } })];
}

type Defaults = ReadonlyMap<string, ValueNode | undefined>;

function variablesOf(
  values: Readonly<Record<string, unknown>>,
  defaults: Defaults,
): (name: string) => Given | undefined {
  return (name) => {
    if (Object.hasOwn(values, name)) return { form: 'json', value: values[name] };
    const node = defaults.get(name);
    return node && { form: 'literal', node, variable: () => undefined };
  };
}

type Inputs = {
  used: { argument: GraphQLArgument; node: ValueNode }[];
  /** variables that stand in no argument: graphql-js coerces these too, although nothing depends on them */
  unused: { type: GraphQLInputType; name: string }[];
  /** of the variables, by their names */
  defaults: Defaults;
};

// Documents are parsed once and kept, so what they say is found once as well.
const known = new WeakMap<OperationDefinitionNode, Inputs>();

/** Every argument of an operation and the fragments it uses, of fields and directives, with what it must be. */
function inputsOf(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode): Inputs {
  const before = known.get(operation);
  if (before) return before;
  const used: Inputs['used'] = [];
  const usedVariables = new Set<string>();
  const types = new TypeInfo(schema);
  const collect = visitWithTypeInfo(types, {
    VariableDefinition: () => false,
    Variable: ({ name }) => void usedVariables.add(name.value),
    Argument: ({ value }) => {
      const argument = types.getArgument();
      if (argument) used.push({ argument, node: value });
    },
  });
  visit(separateOperations(document)[operation.name?.value ?? ''] ?? document, collect);
  const variables = (operation.variableDefinitions ?? []).map(({ variable, type, defaultValue }) => {
    return { name: variable.name.value, type: typeFromAST(schema, type), defaultValue };
  });
  const found = {
    used,
    unused: variables.flatMap(({ name, type }) =>
      !usedVariables.has(name) && isInputType(type) ? [{ name, type }] : [],
    ),
    defaults: new Map(variables.map(({ name, defaultValue }) => [name, defaultValue])),
  };
  known.set(operation, found);
  return found;
}
