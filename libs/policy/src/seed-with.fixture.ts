import { shippedPolicies } from './shipped.ts';

/**
 * The document of `seed-1`, changed: a row of a table by its `_id` (`rules-3`), a figure by its id
 * (`figures-minimum-score`), or what a node consists of by the node's id (`rules`).
 */
export function seedWith(changes: Record<string, Record<string, unknown>>): string {
  const made = new Set<string>();
  const document = JSON.parse(shippedPolicies()[0]?.document ?? '', (_key, value) => {
    const id: unknown = value?.id ?? value?._id;
    if (typeof id !== 'string' || !changes[id]) return value;
    made.add(id);
    return value.content ? { ...value, content: { ...value.content, ...changes[id] } } : { ...value, ...changes[id] };
  });
  const missed = Object.keys(changes).filter((id) => !made.has(id));
  if (missed.length > 0) throw new Error(`seed-1 has no ${missed.join(', ')}`);
  return JSON.stringify(document);
}
