import { defineConfig } from 'vitest/config';

const ISOLATED = 'test/**/*.isolated.test.ts';

export default defineConfig({
  test: {
    globalSetup: ['test/helpers/buildOnce.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    // Tests with a lab wait for its clock a third of their time.
    maxWorkers: 3,
    // Loading the modules again for each file took 40 % of the CPU time; only files that mock a module need it.
    projects: [
      {
        extends: true,
        test: { name: 'shared', include: ['test/**/*.test.ts'], exclude: [ISOLATED], isolate: false },
      },
      { extends: true, test: { name: 'isolated', include: [ISOLATED], isolate: true } },
    ],
  },
});
