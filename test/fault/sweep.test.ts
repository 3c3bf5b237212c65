/**
 * Every file operation of a session, a prune, a restore and other work fails once. No committed
 * point that must stay is lost, the error has a type, no file stays open, and the next session
 * works. `npm run sweep` tries every fault at every operation. The suite tries each fault once, at
 * operations spread over the work.
 */
import { expect, test } from 'vitest';
import { FILE_FAULTS, type FileFault } from '../helpers/faults/faultyFiles.ts';
import { IS_LONG_FORM } from '../helpers/longForm.ts';
import { PlainLab } from '../helpers/lab/plainLab.ts';
import { sweep, type SweepScenario } from '../helpers/faults/sweep.ts';
import { engineScenario, IMAGE_SCENARIOS } from '../helpers/faults/sweepSessions.ts';
import { CHAIN_SCENARIOS } from '../helpers/faults/sweepPrunes.ts';

const LIMIT_MS = 3_600_000;

/** All faults, or at a few operations one fault each, in turn. */
function faultsAt(nth: number, operations: number): readonly FileFault[] {
  if (IS_LONG_FORM) return FILE_FAULTS;
  const stride = Math.ceil(operations / FILE_FAULTS.length);
  const fault = FILE_FAULTS[nth / stride - 1];
  return nth % stride === 0 && fault ? [fault] : [];
}

async function expectNothingLost(scenario: SweepScenario): Promise<void> {
  const { operations, faultPoints, failures, problems } = await sweep(scenario, { faultsAt });
  console.log(
    `${scenario.title}: ${operations} operations, ${faultPoints} fault points tried, ${failures} ended with a typed error, ${problems.length} lost`,
  );
  for (const problem of problems) console.log(problem);
  expect(problems).toEqual([]);
  expect(failures).toBeGreaterThan(0);
}

test.each([...IMAGE_SCENARIOS, ...CHAIN_SCENARIOS])(
  '$title loses nothing, whichever operation fails',
  async (scenario) => {
    await expectNothingLost(scenario);
  },
  LIMIT_MS,
);

test(
  'engine session loses nothing, whichever operation fails',
  async () => {
    const lab = await PlainLab.start();
    try {
      await expectNothingLost(engineScenario(lab));
    } finally {
      await lab.close();
    }
  },
  LIMIT_MS,
);
