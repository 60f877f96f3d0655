/** What went wrong, each thing once and how often. */
export function faults() {
  const counts = new Map<string, number>();
  return {
    note: (what: string) => void counts.set(what, (counts.get(what) ?? 0) + 1),
    list: () => [...counts].map(([what, count]) => `${count} × ${what}`),
  };
}
