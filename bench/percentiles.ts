/** "p50 1.2  p95 3.4  p99 5.6  max 7.8 ms" */
export function percentiles(samplesMs: number[]): string {
  const sorted = samplesMs.toSorted((a, b) => a - b);
  const at = (share: number) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0).toFixed(1);
  return `p50 ${at(0.5)}  p95 ${at(0.95)}  p99 ${at(0.99)}  max ${at(1)} ms`;
}
