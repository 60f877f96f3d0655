import { renderGraphiQL } from '@graphql-yoga/render-graphiql';
import type { GraphiQLOptions } from 'graphql-yoga';

/**
 * GraphiQL's page, with tabs that stay where they are: by itself it leaves each where it was moved from when the page
 * opened. A tab that is pressed then jumps from under the pointer, and what is run next is the operation of another one.
 */
export function graphiqlPage(options?: GraphiQLOptions): string {
  const atRest = '<style>.graphiql-tab { transform: none !important; }</style>';
  return renderGraphiQL(options).replace('</head>', `${atRest}</head>`);
}
