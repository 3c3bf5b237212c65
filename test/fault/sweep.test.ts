/**
 * Every file-system operation of a session, a restore and so on fails once: nothing that was committed is lost, the
 * error has a type, nothing stays open, and the next session works. `npm run sweep` tries every fault at every
 * operation; the suite tries one fault at each, and of sessions with an engine at every fourth.
 */
import { expect, test } from 'vitest';
import { FILE_FAULTS, type FileFault } from '../helpers/faultyFiles.ts';
import { PlainLab } from '../helpers/plainLab.ts';
import { sweep, type SweepScenario } from '../helpers/sweep.ts';
import { engineScenario } from '../helpers/sweepEngine.ts';
import { IMAGE_SCENARIOS } from '../helpers/sweepImages.ts';
import { CHAIN_SCENARIOS } from '../helpers/sweepPrunes.ts';

const IS_FULL = process.env['SWEEP'] === 'full';
const ENGINE_STRIDE = 4;
const LIMIT_MS = 3_600_000;

/** All faults, or in turn one of them at every `stride`th operation. */
function faultsAt(nth: number, stride: number): readonly FileFault[] {
  if (IS_FULL) return FILE_FAULTS;
  const [turn, rest] = [Math.floor(nth / stride), nth % stride];
  const fault = FILE_FAULTS[turn % FILE_FAULTS.length];
  return rest === 0 && fault ? [fault] : [];
}

async function expectNothingLost(scenario: SweepScenario, stride = 1): Promise<void> {
  const plan = { faultsAt: (nth: number) => faultsAt(nth, stride) };
  const { operations, faultPoints, failures, problems } = await sweep(scenario, plan);
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
      await expectNothingLost(engineScenario(lab), ENGINE_STRIDE);
    } finally {
      await lab.close();
    }
  },
  LIMIT_MS,
);
