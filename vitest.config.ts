import { defineConfig } from 'vitest/config';

export default defineConfig({
  // As Node resolves it. Vite would take the package's ES module build, and there must be one graphql only.
  resolve: { alias: [{ find: /^graphql$/, replacement: import.meta.resolve('graphql') }] },
  test: {
    include: ['**/*.test.ts'],
    exclude: ['**/node_modules/**'],
    globalSetup: 'libs/testing/src/global-setup.ts',
    // Most tests wait for servers and clocks; by default a machine with two cores would run one file at a time.
    maxWorkers: 3,
    testTimeout: 120_000,
    // How long something may take is for bench/ to say; here a busy machine gets its time.
    expect: { poll: { timeout: 30_000 } },
    hookTimeout: 120_000,
    coverage: {
      provider: 'v8',
      include: ['{schema,gateway,scoring,decisioning}/src/**/*.ts', 'libs/*/src/**/*.ts'],
      // An entry only runs its start.ts; it is run for real, in a process of its own, by test/.
      exclude: ['**/*.test.ts', '**/main.ts', 'libs/testing/**', '**/crashing-worker.ts'],
      reporter: ['text-summary', 'json-summary'],
      thresholds: {
        lines: 90,
        'scoring/src/score.ts': { 100: true },
        'schema/src/money.ts': { 100: true },
      },
    },
  },
});
