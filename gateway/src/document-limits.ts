import {
  type DocumentNode,
  type FieldNode,
  GraphQLError,
  type GraphQLNamedType,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  isCompositeType,
  isInterfaceType,
  isListType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';

/** What a document may be at most; all but depth are counted with every fragment put where it is spread. */
export type DocumentLimits = {
  depth: number;
  fields: number;
  aliases: number;
  directives: number;
  spreads: number;
  cost: number;
};

type Measures = Record<keyof DocumentLimits, number>;

/** items a list is taken to have: what stands below it is asked for as often */
const listSize = 10;
/** GraphiQL's question about the schema nests 15 deep; it is answered from memory, so its lists are not counted */
const introspectionDepth = 20;

const nothing: Measures = { depth: 0, fields: 0, aliases: 0, directives: 0, spreads: 0, cost: 0 };

const advice: Record<keyof DocumentLimits, string> = {
  depth: 'nests too deeply',
  fields: 'selects too many fields',
  aliases: 'has too many aliases',
  directives: 'has too many directives',
  spreads: 'spreads too many fragments',
  cost: 'asks for too much at once',
};

/** For a document that is beyond a limit; says which, and what to do. */
export function tooComplex(limit: string, max: number, what: string): GraphQLError {
  return new GraphQLError(`The document ${what} (${limit}: at most ${max}). Ask for less, or in several requests.`, {
    extensions: { code: 'QUERY_TOO_COMPLEX', limit, max },
  });
}

/**
 * Refuses what would be expensive to validate or to run. Each fragment is measured once and its measures are
 * added wherever it is spread, so this takes a time in proportion to the document's length, whatever it
 * unfolds to. Everything in the document counts, also what would not be run: it would be validated.
 */
export function documentRefusal(
  schema: GraphQLSchema,
  document: DocumentNode,
  limits: DocumentLimits,
): GraphQLError | undefined {
  const measured = measureDocument(schema, document);
  if (typeof measured === 'string') {
    const message = `The fragment ${measured} contains itself. Take it out of there.`;
    return new GraphQLError(message, { extensions: { code: 'GRAPHQL_VALIDATION_FAILED' } });
  }
  const names = Object.keys(limits) as (keyof DocumentLimits)[];
  const beyond = names.find((name) => measured[name] > limits[name]);
  return beyond && tooComplex(beyond, limits[beyond], advice[beyond]);
}

/** The measures of the whole document; or the name of a fragment that contains itself. */
function measureDocument(schema: GraphQLSchema, document: DocumentNode): Measures | string {
  const fragments = new Map(
    document.definitions.flatMap((node) => (node.kind === Kind.FRAGMENT_DEFINITION ? [[node.name.value, node]] : [])),
  );
  const known = new Map<string, Measures | 'under way'>();
  let ring: string | undefined;

  function ofFragment(name: string): Measures {
    const before = known.get(name);
    if (before === 'under way') ring = name;
    if (before !== undefined) return before === 'under way' ? nothing : before;
    const node = fragments.get(name);
    if (!node) return nothing;
    known.set(name, 'under way');
    const measures = ofSelections(node.selectionSet, schema.getType(node.typeCondition.name.value));
    const all = { ...measures, directives: measures.directives + (node.directives?.length ?? 0) };
    known.set(name, all);
    return all;
  }

  function ofSelections(set: SelectionSetNode, parent: GraphQLNamedType | undefined): Measures {
    const total = { ...nothing };
    for (const node of set.selections) {
      total.directives += node.directives?.length ?? 0;
      if (node.kind === Kind.FIELD) {
        add(total, ofField(node, parent));
      } else if (node.kind === Kind.FRAGMENT_SPREAD) {
        total.spreads += 1;
        add(total, ofFragment(node.name.value));
      } else {
        const type = node.typeCondition ? schema.getType(node.typeCondition.name.value) : parent;
        add(total, ofSelections(node.selectionSet, type));
      }
    }
    return total;
  }

  function ofField(node: FieldNode, parent: GraphQLNamedType | undefined): Measures {
    const { name, alias, selectionSet } = node;
    const own = { ...nothing, depth: 1, fields: 1, aliases: alias ? 1 : 0, cost: 1 };
    if (!selectionSet) return own;
    const isIntrospection = name.value === '__schema' || name.value === '__type';
    const field = isObjectType(parent) || isInterfaceType(parent) ? parent.getFields()[name.value]?.type : undefined;
    const type = field && getNamedType(field);
    const below = ofSelections(selectionSet, isCompositeType(type) ? type : undefined);
    const times = field && isListType(getNullableType(field)) ? listSize : 1;
    add(own, { ...below, depth: 0, cost: below.cost * times });
    own.depth = isIntrospection ? Math.max(1, 1 + below.depth - introspectionDepth) : 1 + below.depth;
    return own;
  }

  const total = { ...nothing };
  for (const node of document.definitions) {
    if (node.kind !== Kind.OPERATION_DEFINITION) continue;
    total.directives += directivesOf(node);
    add(total, ofSelections(node.selectionSet, schema.getRootType(node.operation) ?? undefined));
  }
  for (const name of fragments.keys()) if (!known.has(name)) add(total, ofFragment(name));
  return ring ?? total;
}

function directivesOf({ directives, variableDefinitions }: OperationDefinitionNode): number {
  const ofVariables = variableDefinitions?.map((definition) => definition.directives?.length ?? 0) ?? [];
  return (directives?.length ?? 0) + ofVariables.reduce((sum, count) => sum + count, 0);
}

function add(total: Measures, more: Measures): void {
  total.depth = Math.max(total.depth, more.depth);
  total.fields += more.fields;
  total.aliases += more.aliases;
  total.directives += more.directives;
  total.spreads += more.spreads;
  total.cost += more.cost;
}
