import { Counter, type CounterConfiguration, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type { Registry };
export { Counter, Histogram };

/** The service's own registry with the process' figures in it; `/metrics` prints it. */
export function createMetrics(service: string): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  return registry;
}

/** The counter with this name, made when it is first asked for: several parts of one service may count on it. */
export function counterOf<Label extends string>(
  metrics: Registry,
  configuration: Omit<CounterConfiguration<Label>, 'registers'>,
): Counter<Label> {
  const known = metrics.getSingleMetric(configuration.name);
  return known instanceof Counter ? known : new Counter({ ...configuration, registers: [metrics] });
}

/** A gauge that is read when somebody looks. What cannot be read now is left out and does not fail the others. */
export function gaugeOf(
  metrics: Registry,
  { name, help }: { name: string; help: string },
  read: () => number | Promise<number>,
): void {
  new Gauge({
    name,
    help,
    registers: [metrics],
    async collect() {
      try {
        this.set(await read());
      } catch {
        this.reset();
      }
    },
  });
}
