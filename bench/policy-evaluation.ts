import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { loadPolicy, openEvaluator, type PolicyInput, shippedPolicies } from '@prequal/policy';

/**
 * What one evaluation of each shipped policy costs: alone, and as one of many at once, as decisioning and a
 * simulation ask for them. `cpu` counts all threads; `loop` is the share of the time the event loop is busy.
 *
 *   node bench/policy-evaluation.ts --evaluations 10000
 */
const { values } = parseArgs({
  options: { evaluations: { type: 'string', default: '10000' }, aside: { type: 'boolean', default: false } },
});
const evaluations = Number(values.evaluations);

function input(index: number): PolicyInput {
  return {
    score: 600 + (index % 200),
    monthlyIncomePaise: 40_000_00 + index,
    loanAmountPaise: 24_00_000_00,
    loanType: 'HOME',
  };
}

for (const { version, document } of shippedPolicies()) {
  const { hash, evaluate: evaluateHere } = loadPolicy(document);
  await using evaluator = openEvaluator({ limitMs: 10_000, maxItems: 256 });
  const evaluate = values.aside ? (one: PolicyInput) => evaluator.evaluate({ hash, document }, one) : evaluateHere;
  for (let index = 0; index < 2_000; index++) await evaluate(input(index));
  for (const atOnce of [1, 50, 500]) {
    const batches = Math.ceil(evaluations / atOnce);
    const [cpu, loop, begun] = [process.cpuUsage(), performance.eventLoopUtilization(), performance.now()];
    for (let batch = 0; batch < batches; batch++) {
      await Promise.all(Array.from({ length: atOnce }, (_, index) => evaluate(input(batch * atOnce + index))));
    }
    const elapsedMs = performance.now() - begun;
    const { user, system } = process.cpuUsage(cpu);
    const count = batches * atOnce;
    const { utilization } = performance.eventLoopUtilization(loop);
    console.log(
      `${version}, ${atOnce} at once: ${(elapsedMs / batches).toFixed(2)} ms a batch, ${((elapsedMs / count) * 1_000).toFixed(0)} µs each, cpu ${((user + system) / count).toFixed(0)} µs, loop ${(utilization * 100).toFixed(0)} %`,
    );
  }
}
