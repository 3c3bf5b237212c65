import { defineConfig } from 'vitest/config';

const ISOLATED = 'test/**/*.isolated.test.ts';
/** Kills, terminals, long chains: `npm run test:slow`. */
const SLOW = 'test/**/*.slow.test.ts';

const EACH = {
  pool: 'forks',
  testTimeout: 120_000,
  hookTimeout: 120_000,
  // On a busy machine, what a test waits for takes longer than the second that is usual.
  expect: { poll: { timeout: 30_000 } },
} as const;

export default defineConfig({
  test: {
    alias: { 'ovirt-cbt-lab': new URL('lab/src/index.ts', import.meta.url).pathname },
    globalSetup: ['test/helpers/buildOnce.ts'],
    // Loading the modules again for each file took 40 % of the CPU time; only files that mock a
    // module need it.
    projects: [
      {
        test: {
          ...EACH,
          name: 'shared',
          include: ['test/**/*.test.ts'],
          exclude: [ISOLATED, SLOW],
          isolate: false,
          // Tests with a lab wait for its clock or for polls of the command line half of their
          // time. More workers cost more CPU time than they save: each loads all modules.
          maxWorkers: 5,
        },
      },
      { test: { ...EACH, name: 'isolated', include: [ISOLATED], isolate: true, maxWorkers: 5 } },
      {
        test: {
          ...EACH,
          name: 'slow',
          include: [SLOW],
          isolate: false,
          // They wait for processes, leases and screens most of their time.
          maxWorkers: 7,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
