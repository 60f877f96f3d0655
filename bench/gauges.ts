/** What a service says of itself at /metrics; that of the event loop is since somebody asked the last time. */
export type Gauges = { loopMeanMs: number; loopP99Ms: number; loopMaxMs: number; heldBytes: number };

export async function gaugesOf(address: string): Promise<Gauges> {
  const text = await (await fetch(`${address}/metrics`, { signal: AbortSignal.timeout(30_000) })).text();
  const read = (metric: string) => Number(new RegExp(`^${metric}(?:\\{[^}]*\\})? (\\S+)`, 'm').exec(text)?.[1]);
  return {
    loopMeanMs: read('nodejs_eventloop_lag_mean_seconds') * 1_000,
    loopP99Ms: read('nodejs_eventloop_lag_p99_seconds') * 1_000,
    loopMaxMs: read('nodejs_eventloop_lag_max_seconds') * 1_000,
    heldBytes: read('nodejs_heap_size_used_bytes') + read('nodejs_external_memory_bytes'),
  };
}
