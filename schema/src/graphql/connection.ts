import type { ObjectRef } from '@pothos/core';
import { validationFailed } from '../refusal.ts';
import { builder } from './builder.ts';
import type { Page, PageRequest } from './context.ts';

export const maxPageSize = 100;

const PageInfo = builder
  .objectRef<Pick<Page<unknown>, 'entries' | 'hasNextPage' | 'hasPreviousPage'>>('PageInfo')
  .implement({
    description: 'Where in the whole list these entries are.',
    fields: (t) => ({
      hasNextPage: t.exposeBoolean('hasNextPage'),
      hasPreviousPage: t.exposeBoolean('hasPreviousPage'),
      startCursor: t.string({
        nullable: true,
        description: 'null when there are no entries',
        resolve: ({ entries }) => entries[0]?.cursor ?? null,
      }),
      endCursor: t.string({
        nullable: true,
        description: 'Pass it as `after` for the next page; null when there are no entries',
        resolve: ({ entries }) => entries.at(-1)?.cursor ?? null,
      }),
    }),
  });

/** The connection and edge types of a list of `type`, e.g. ApplicationConnection and ApplicationEdge. */
export function connectionOf<Item extends object>(
  name: string,
  type: ObjectRef<typeof builder.$inferSchemaTypes, Item>,
) {
  const Edge = builder.objectRef<{ cursor: string; node: Item }>(`${name}Edge`).implement({
    description: 'An entry of a list, and its place in it.',
    fields: (t) => ({
      cursor: t.exposeString('cursor', { description: 'Names this place also while entries are added' }),
      // Of a type that is not known yet, Pothos cannot tell that it is none of its special cases.
      node: t.field({ type, resolve: ({ node }) => node as never }),
    }),
  });
  return builder.objectRef<Page<Item>>(`${name}Connection`).implement({
    description: 'A part of a list, and where it stands in the whole.',
    fields: (t) => ({
      edges: t.field({ type: [Edge], resolve: ({ entries }) => entries }),
      pageInfo: t.field({ type: PageInfo, resolve: (page) => page }),
      totalCount: t.int({
        description:
          'Of the whole list. Counting is dear, so it may be some seconds old; it costs nothing when not asked for',
        resolve: ({ totalCount }) => totalCount(),
      }),
    }),
  });
}

/** The arguments of a list as a `PageRequest`. Throws `Refusal` VALIDATION_FAILED. */
export function pageOf({
  first,
  after,
}: {
  first?: number | null | undefined;
  after?: string | null | undefined;
}): PageRequest {
  const size = first ?? 0;
  if (size < 1 || size > maxPageSize) {
    throw validationFailed([{ path: ['first'], code: 'INVALID_VALUE', message: `must be from 1 to ${maxPageSize}` }]);
  }
  return { first: size, after: after ?? undefined };
}

export const firstDescription = `Entries on the page, 1 to ${maxPageSize}`;
export const afterDescription = 'The endCursor of the page before';
