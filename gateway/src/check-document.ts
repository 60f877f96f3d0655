import { type InputIssue, type Refusal, validationFailed } from '@prequal/schema';
import { checkInput } from '@prequal/schema/graphql';
import {
  type ArgumentNode,
  type ASTNode,
  type DocumentNode,
  GraphQLError,
  type GraphQLSchema,
  isInputType,
  Kind,
  type ObjectFieldNode,
  specifiedRules,
  typeFromAST,
  type ValidationContext,
  type ValidationRule,
  ValuesOfCorrectTypeRule,
  validate,
  valueFromASTUntyped,
  visit,
} from 'graphql';

/**
 * graphql-js refuses ill-typed input before any resolver runs, one fault at a time where they nest, and
 * quotes the value: a PAN in a wrong place would stand in the answer. These two checks come first and
 * report every fault at once, as VALIDATION_FAILED, by path and without the value.
 */

function toGraphQLError(refusal: Refusal, nodes: ArgumentNode | undefined): GraphQLError {
  const extensions = { code: refusal.code, ...refusal.details };
  return new GraphQLError(refusal.message, { ...(nodes && { nodes }), extensions });
}

/** Faults of the variables a client sent for the operation it named; none for a document without it. */
export function checkVariables(
  schema: GraphQLSchema,
  document: DocumentNode,
  operationName: string | null | undefined,
  variables: Readonly<Record<string, unknown>>,
): GraphQLError[] {
  const operations = document.definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION);
  const operation = operations.find((candidate) => operationName == null || candidate.name?.value === operationName);
  if (!operation) return [];
  const uses = document.definitions
    .filter((definition) => definition === operation || definition.kind === Kind.FRAGMENT_DEFINITION)
    .flatMap(usesOfVariables);
  const paths = new Map(uses.toReversed().map(({ name, path }) => [name, path]));
  const issues = (operation.variableDefinitions ?? []).flatMap((definition): InputIssue[] => {
    const name = definition.variable.name.value;
    const type = typeFromAST(schema, definition.type);
    if (!isInputType(type) || (variables[name] === undefined && definition.defaultValue)) return [];
    return checkInput(type, variables[name], paths.get(name) ?? [name], 'raw');
  });
  return issues.length === 0 ? [] : [toGraphQLError(validationFailed(issues), undefined)];
}

/** Where variables are used below a node, as the path of the input they stand for: `["input", "panNumber"]`. */
function usesOfVariables(node: ASTNode): { name: string; path: string[] }[] {
  const uses: { name: string; path: string[] }[] = [];
  const path: string[] = [];
  const step = {
    enter: (named: ArgumentNode | ObjectFieldNode) => void path.push(named.name.value),
    leave: () => void path.pop(),
  };
  visit(node, {
    Argument: step,
    ObjectField: step,
    VariableDefinition: () => false,
    Variable: (variable) => void uses.push({ name: variable.name.value, path: [...path] }),
  });
  return uses;
}

/** `validate` of graphql-js with every rule of the specification, and input literals checked in our words. */
export const validateDocument: typeof validate = (schema, document, rules = specifiedRules, ...rest) =>
  validate(
    schema,
    document,
    rules.map((rule) => (rule === ValuesOfCorrectTypeRule ? inputLiteralsRule : rule)),
    ...rest,
  );

const inputLiteralsRule: ValidationRule = (context) => {
  let faults = 0;
  // The original rule finds; what it would say is not repeated.
  const silent = Object.create(context, { reportError: { value: () => void (faults += 1) } }) as ValidationContext;
  const rule = ValuesOfCorrectTypeRule(silent);
  return {
    ...rule,
    Argument: {
      enter: () => {
        faults = 0;
      },
      leave: (node) => {
        if (faults > 0) context.reportError(toGraphQLError(validationFailed(literalIssues(context, node)), node));
      },
    },
    Directive: { leave: () => void (faults = 0) },
    VariableDefinition: {
      leave: (node) => {
        if (faults === 0) return;
        context.reportError(new GraphQLError('The default value of a variable has the wrong type.', { nodes: node }));
        faults = 0;
      },
    },
  };
};

function literalIssues(context: ValidationContext, node: ArgumentNode): InputIssue[] {
  const path = [node.name.value];
  const type = context.getFieldDef()?.args.find((arg) => arg.name === node.name.value)?.type;
  const found = type ? checkInput(type, valueFromASTUntyped(node.value), path, 'raw') : [];
  // What a variable stands for is checked with the variables.
  const elsewhere = new Set(usesOfVariables(node).map((use) => use.path.join('.')));
  const issues = found.filter((issue) => !elsewhere.has(issue.path.join('.')));
  // None found, e.g. for an enum in quotes: right as JSON, wrong as a literal.
  return issues.length > 0 ? issues : [{ path, code: 'INVALID_TYPE', message: 'has a value of the wrong type' }];
}
