import { type InputIssue, validationFailed } from '@prequal/schema';
import { checkField, checkInput, type Given } from '@prequal/schema/graphql';
import {
  type DocumentNode,
  type ExecutionArgs,
  type GraphQLArgument,
  GraphQLError,
  type GraphQLSchema,
  isInputType,
  Kind,
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
  const operations = document.definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION);
  const operation = operations.find((candidate) => operationName == null || candidate.name?.value === operationName);
  if (!operation) return [];
  const variable = variablesOf(operation, variableValues ?? {});
  const { arguments: used, variables: usedVariables } = inputsOf(schema, document, operation);
  const unused = operation.variableDefinitions?.filter(({ variable: { name } }) => !usedVariables.has(name.value));
  const issues = [
    ...used.flatMap(({ argument, node }) => checkField(argument, { form: 'literal', node, variable }, [argument.name])),
    // graphql-js coerces these too, although nothing depends on them.
    ...(unused ?? []).flatMap((definition): InputIssue[] => {
      const type = typeFromAST(schema, definition.type);
      const { value: name } = definition.variable.name;
      return isInputType(type) ? checkInput(type, variable(name), [name]) : [];
    }),
  ];
  if (issues.length === 0) return [];
  const refusal = validationFailed(issues);
  return [new GraphQLError(refusal.message, { extensions: { code: refusal.code, ...refusal.details } })];
}

function variablesOf(
  operation: OperationDefinitionNode,
  values: Readonly<Record<string, unknown>>,
): (name: string) => Given | undefined {
  const defaults = new Map(
    operation.variableDefinitions?.map((definition) => [definition.variable.name.value, definition.defaultValue]),
  );
  return (name) => {
    if (Object.hasOwn(values, name)) return { form: 'json', value: values[name] };
    const node = defaults.get(name);
    return node && { form: 'literal', node, variable: () => undefined };
  };
}

type Inputs = {
  arguments: { argument: GraphQLArgument; node: ValueNode }[];
  /** names of the variables that stand in them */
  variables: Set<string>;
};

// Documents are parsed once and kept, so what they say is found once as well.
const known = new WeakMap<OperationDefinitionNode, Inputs>();

/** Every argument of an operation and the fragments it uses, of fields and directives, with what it must be. */
function inputsOf(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode): Inputs {
  const before = known.get(operation);
  if (before) return before;
  const found: Inputs = { arguments: [], variables: new Set() };
  const types = new TypeInfo(schema);
  const collect = visitWithTypeInfo(types, {
    VariableDefinition: () => false,
    Variable: ({ name }) => void found.variables.add(name.value),
    Argument: ({ value }) => {
      const argument = types.getArgument();
      if (argument) found.arguments.push({ argument, node: value });
    },
  });
  visit(separateOperations(document)[operation.name?.value ?? ''] ?? document, collect);
  known.set(operation, found);
  return found;
}
