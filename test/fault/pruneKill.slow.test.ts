/**
 * A prune is killed again and again without a warning. No kept point is lost, and in the end it is
 * done.
 */
import { cpSync, rmSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { runCli, startCli, until } from '../helpers/cli/cli.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { noise, createRandom } from '../helpers/bytes/random.ts';
import {
  chainOf,
  type Contents,
  expectPoints,
  type Pictured,
} from '../helpers/repository/prunes.ts';
import { longOr } from '../helpers/longForm.ts';
import { expectRestored } from '../helpers/repository/imageSessions.ts';
import { filesOf, pointsOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const SEED = 20_261_126;
const [POINTS, KEPT] = [31, 7];
const KILLS = longOr(10, 5);
const BLOCKS = 24;
/** The test has many sessions, restores and processes, and the machine may be busy. */
const TIMEOUT_MS = 300_000;

/** A disk of which each session changes one block and clears another. */
function* states(): Generator<Contents> {
  const random = createRandom(SEED);
  let a = noise('first', BLOCKS * BLOCK_BYTES);
  const at = (): number => random.below(BLOCKS) * BLOCK_BYTES;
  for (let k = 0; k < POINTS; k++) {
    a = Buffer.from(a);
    noise(k, BLOCK_BYTES).copy(a, at());
    if (k % 3 === 0) Buffer.alloc(BLOCK_BYTES).copy(a, at());
    yield { a };
  }
}

function pruneArgs(repository: string): string[] {
  return ['prune', '--repo', repository, '--keep-last', String(KEPT), '--workers', '0'];
}

/** Milliseconds from the lock of a prune to its end. */
async function measurePrune(repository: string): Promise<number> {
  const running = startCli(pruneArgs(repository));
  await until(running, () => filesOf(repository, 'lock').length > 0);
  const fromMs = performance.now();
  expect(await running.ended).toMatchObject({ exitCode: 0 });
  return performance.now() - fromMs;
}

/**
 * Starts a prune and kills it this long after it took the lock. Returns true when it was not done
 * yet.
 */
async function killPrune(repository: string, afterMs: number): Promise<boolean> {
  const running = startCli(pruneArgs(repository));
  await until(running, () => filesOf(repository, 'lock').length > 0);
  await wait(afterMs);
  running.child.kill('SIGKILL');
  return (await running.ended).signal === 'SIGKILL';
}

/** Some kept points, and the merged one, must restore in every state of the repository. */
async function expectKeptRestore({ repository, contents, pointIds }: Pictured): Promise<void> {
  for (const position of [POINTS - KEPT, POINTS - 1]) {
    const point = pointIds[position] ?? '';
    await expectRestored(repository, contents.get(point) ?? {}, { point });
  }
}

test(
  'a chain of 30 increments is merged to 7 points though the prune is killed many times',
  async () => {
    const chain = await chainOf(temp, [...states()]);
    const { repository } = chain;
    const [untouched, measured] = [temp.path('untouched'), temp.path('measured')];
    for (const copy of [untouched, measured]) cpSync(repository, copy, { recursive: true });
    const durationMs = await measurePrune(measured);
    const random = createRandom(SEED);
    let killedCount = 0;

    for (let part = 0; part < KILLS; part++) {
      // After a complete prune there is nothing to kill, so the chain is made again.
      if (pointsOf(repository).length === KEPT) {
        rmSync(repository, { recursive: true });
        cpSync(untouched, repository, { recursive: true });
      }
      if (await killPrune(repository, ((part + random.fraction()) / KILLS) * durationMs))
        killedCount++;
      await expectKeptRestore(chain);
    }
    const last = await runCli(pruneArgs(repository));

    expect(last.exitCode, last.stderr).toBe(0);
    expect([filesOf(repository, '.vbk').length, filesOf(repository, '.vib').length]).toEqual([
      1, 6,
    ]);
    expect([...filesOf(repository, '.partial'), ...filesOf(repository, 'lock')]).toEqual([]);
    await expectPoints(
      chain,
      Array.from({ length: KEPT }, (_, k) => POINTS - KEPT + k),
    );
    expect(killedCount).toBeGreaterThan(KILLS / 3);
  },
  TIMEOUT_MS,
);
