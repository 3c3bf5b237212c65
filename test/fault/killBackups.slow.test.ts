/** Sessions that are killed without a warning, at moments spread over their whole duration. */
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { backupArgs, runCli, type RunningCli, startCli, until } from '../helpers/cli/cli.ts';
import { MIB, writeImage } from '../helpers/bytes/images.ts';
import { noise, prose, createRandom } from '../helpers/bytes/random.ts';
import { longOr } from '../helpers/longForm.ts';
import { backup, expectRestored } from '../helpers/repository/imageSessions.ts';
import {
  filesOf,
  onlyFileOf,
  pointsOf,
  vmFoldersOf,
} from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const SEED = 20_261_122;
const KILLS = longOr(10, 3);

/** An image so large that most moments are in the pipeline and the commit. */
function content(seed: number): Buffer {
  return Buffer.concat([noise(seed, 12 * MIB), Buffer.alloc(4 * MIB), prose(seed, 4 * MIB)]);
}

function startBackup(repository: string, image: string): RunningCli {
  return startCli(backupArgs(repository, image, '--workers', '1'));
}

function isLocked(repository: string): boolean {
  return filesOf(repository, 'lock').length > 0;
}

/** Milliseconds from the lock of a session to its end. */
async function measureSession(repository: string, image: string): Promise<number> {
  const running = startBackup(repository, image);
  await until(running, () => isLocked(repository));
  const fromMs = performance.now();
  expect(await running.ended).toMatchObject({ exitCode: 0 });
  return performance.now() - fromMs;
}

/** Kills a session this long after it took its lock. Returns true when it was not done yet. */
async function killSession(repository: string, image: string, afterMs: number): Promise<boolean> {
  const running = startBackup(repository, image);
  await until(running, () => isLocked(repository));
  await wait(afterMs);
  running.child.kill('SIGKILL');
  return (await running.ended).signal === 'SIGKILL';
}

async function verifyExit(repository: string): Promise<number | null> {
  return (await runCli(['verify', '--repo', repository, '--point', 'all'])).exitCode;
}

/** One random moment in each of {@link KILLS} equal parts of a session. */
function moments(durationMs: number): number[] {
  const random = createRandom(SEED);
  return Array.from(
    { length: KILLS },
    (_, part) => ((part + random.fraction()) / KILLS) * durationMs,
  );
}

test('a first session that is killed leaves nothing that stops the next one', async () => {
  const image = writeImage(temp.path('a'), content(0));
  const durationMs = await measureSession(temp.path('measured'), image);
  let killedCount = 0;
  for (const [k, afterMs] of moments(durationMs).entries()) {
    const repository = temp.path(`repo-${k}`);

    if (await killSession(repository, image, afterMs)) killedCount++;

    const allowed = existsSync(repository) ? [EXIT_CODES.done] : [EXIT_CODES.repositoryNotFound];
    expect(allowed, `killed after ${afterMs} ms`).toContain(await verifyExit(repository));
    // If the killed session committed its full, the next session keeps its block size.
    await backup(repository, image, { blockSizeBytes: undefined });
    await expectRestored(repository, { a: content(0) });
    expect(vmFoldersOf(repository)).toHaveLength(1);
    expect([...filesOf(repository, '.partial'), ...filesOf(repository, 'lock')]).toEqual([]);
  }
  expect(killedCount).toBeGreaterThan(KILLS / 3);
});

test.each([
  ['its folder', (repository: string) => existsSync(repository)],
  ['its marker', (repository: string) => existsSync(`${repository}/ovirt-cbt.json`)],
  ['the folder of its VM', (repository: string) => vmFoldersOf(repository).length > 0],
])(
  'a first session that is killed when the repository got %s can be repeated',
  async (_n, seen) => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), content(0))];
    const running = startBackup(repository, image);
    await until(running, () => seen(repository));

    running.child.kill('SIGKILL');
    await running.ended;

    await backup(repository, image, { blockSizeBytes: undefined });
    await expectRestored(repository, { a: content(0) });
    expect(vmFoldersOf(repository)).toHaveLength(1);
    expect(await verifyExit(repository)).toBe(EXIT_CODES.done);
  },
);

test('an increment that is killed leaves the points before it, and the next session goes on', async () => {
  const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), content(0))];
  const { pointId: firstPoint } = await backup(repository, image);
  const durationMs = await measureSession(repository, writeImage(image, content(1)));
  let killedCount = 0;
  for (const [k, afterMs] of moments(durationMs).entries()) {
    writeImage(image, content(k + 2));

    if (await killSession(repository, image, afterMs)) killedCount++;

    expect(await verifyExit(repository), `killed after ${afterMs} ms`).toBe(EXIT_CODES.done);
    const { pointType } = await backup(repository, image);
    expect(pointType).toBe('increment');
    await expectRestored(repository, { a: content(k + 2) });
    expect([...filesOf(repository, '.partial'), ...filesOf(repository, 'lock')]).toEqual([]);
  }
  await expectRestored(repository, { a: content(0) }, { point: firstPoint });
  expect(pointsOf(repository).length).toBeGreaterThanOrEqual(KILLS + 2);
  expect(killedCount).toBeGreaterThan(KILLS / 3);
});

test('the check fails where a container lost its end', async () => {
  const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), noise(1, MIB))];
  await backup(repository, image);
  const container = onlyFileOf(repository, '.vbk');
  const sound = readFileSync(container);

  truncateSync(container, sound.length - 4096);

  expect(await verifyExit(repository)).toBe(EXIT_CODES.damageFound);
  writeFileSync(container, sound);
  expect(await verifyExit(repository)).toBe(EXIT_CODES.done);
});
