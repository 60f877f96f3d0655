import SchemaBuilder from '@pothos/core';
import { execute, type GraphQLSchema, parse, subscribe } from 'graphql';
import { beforeEach, expect, test } from 'vitest';
import { type Role, roles, type Viewer } from '../viewer.ts';
import { allowedTo, guardFields } from './allowed-to.ts';

type Context = { viewer: Viewer };

/** what a resolver was asked to do: each stands for a read of a database or a broker */
const asked: string[] = [];
beforeEach(() => {
  asked.length = 0;
});

const newBuilder = () =>
  new SchemaBuilder<{ Context: Context; DefaultFieldNullability: false }>({ defaultFieldNullability: false });

function schemaWithGuards(): GraphQLSchema {
  const builder = newBuilder();
  const noted = (what: string) => {
    asked.push(what);
    return what;
  };
  const Person = builder.objectRef<{ name: string; pan: string }>('Person').implement({
    fields: (t) => ({
      name: t.exposeString('name'),
      pan: t.exposeString('pan', { nullable: true, ...allowedTo('auditor') }),
    }),
  });
  builder.queryType({
    fields: (t) => ({
      open: t.string({ ...allowedTo('anyone'), resolve: () => noted('open') }),
      staff: t.string({ ...allowedTo('underwriter', 'auditor'), resolve: () => noted('staff') }),
      person: t.field({ type: Person, ...allowedTo('anyone'), resolve: () => ({ name: 'Asha', pan: 'hidden' }) }),
    }),
  });
  builder.mutationType({
    fields: (t) => ({ change: t.string({ ...allowedTo('operator'), resolve: () => noted('change') }) }),
  });
  builder.subscriptionType({
    fields: (t) => ({
      watch: t.string({
        ...allowedTo('analyst'),
        subscribe: async function* () {
          yield noted('watch');
        },
        resolve: (value) => value,
      }),
    }),
  });
  return guardFields(builder.toSchema());
}

const withRoles = (...some: Role[]): Viewer => ({ subject: 'alice', roles: some });

async function outcomeOf(document: string, viewer: Viewer): Promise<unknown> {
  const run = document.startsWith('subscription') ? subscribe : execute;
  const result = await run({ schema: schemaWithGuards(), document: parse(document), contextValue: { viewer } });
  if (!('errors' in result)) return 'allowed';
  return (result.errors?.[0]?.originalError as unknown as { code: string } | undefined)?.code ?? 'allowed';
}

const allowed: Record<string, readonly Role[]> = {
  '{ staff }': ['underwriter', 'auditor'],
  'mutation { change }': ['operator'],
  'subscription { watch }': ['analyst'],
};

test.each(Object.entries(allowed))(
  '%s is for its roles alone, and asks nothing for anybody else',
  async (document, names) => {
    expect(await outcomeOf(document, 'anonymous')).toBe('UNAUTHENTICATED');
    expect(await outcomeOf(document, withRoles())).toBe('FORBIDDEN');
    expect(await outcomeOf(document, withRoles(...roles.filter((role) => !names.includes(role))))).toBe('FORBIDDEN');
    expect(asked).toEqual([]);
    for (const role of names) expect(await outcomeOf(document, withRoles(role))).toBe('allowed');
    expect(await outcomeOf(document, withRoles(...roles))).toBe('allowed');
  },
);

test('a field for anyone is for anyone', async () => {
  for (const viewer of ['anonymous', withRoles(), withRoles('operator')] as const) {
    expect(await outcomeOf('{ open }', viewer)).toBe('allowed');
  }
  expect(asked).toEqual(['open', 'open', 'open']);
});

test('a field below the root can be kept for a role as well, also when it has no resolver of its own', async () => {
  const read = (viewer: Viewer) =>
    execute({ schema: schemaWithGuards(), document: parse('{ person { name pan } }'), contextValue: { viewer } });
  expect(await read('anonymous')).toMatchObject({
    data: { person: { name: 'Asha', pan: null } },
    errors: [{ path: ['person', 'pan'] }],
  });
  expect(await read(withRoles('auditor'))).toEqual({ data: { person: { name: 'Asha', pan: 'hidden' } } });
});

test.each(['Query', 'Mutation', 'Subscription'])(
  'a schema is not made when a field of %s does not say whom it is for',
  (root) => {
    const builder = newBuilder();
    const said = allowedTo('anyone');
    builder.queryType({ fields: (t) => ({ a: t.string({ ...(root !== 'Query' && said), resolve: () => '' }) }) });
    builder.mutationType({ fields: (t) => ({ b: t.string({ ...(root !== 'Mutation' && said), resolve: () => '' }) }) });
    builder.subscriptionType({
      fields: (t) => ({
        c: t.string({ ...(root !== 'Subscription' && said), subscribe: async function* () {}, resolve: () => '' }),
      }),
    });
    expect(() => guardFields(builder.toSchema())).toThrow(new RegExp(`^${root}\\.[abc] does not say who may use it`));
  },
);
