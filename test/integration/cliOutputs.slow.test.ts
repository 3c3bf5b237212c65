/** An output that cannot be written never stops a session, and leaves nothing behind. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import type { LabVm } from '../../lab/src/index.ts';
import { startCli, withoutTimes } from '../helpers/cli/cli.ts';
import { useCliLab } from '../helpers/cli/cliLab.ts';
import {
  makeFullPipe,
  makePipe,
  open,
  type Outputs,
  startRedirected,
} from '../helpers/cli/redirected.ts';
import { noise } from '../helpers/bytes/random.ts';
import { canMountVolumes, inSmallVolume } from '../helpers/folders.ts';
import { expectClean } from '../helpers/repository/imageSessions.ts';
import { filesOf, pointsOf, strayFilesOf } from '../helpers/repository/repositoryFiles.ts';

const MIB = 1024 * 1024;
const FULL = '/dev/full';
const LOST_LOG = 'the log cannot be written: ENOSPC; the session continues without it';
const canMount = await canMountVolumes();
const bench = useCliLab();

function addVm(): LabVm {
  const vm = bench.lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: 4 * MIB }] });
  vm.disk('sys').write(MIB, noise(1, MIB));
  return vm;
}

type Ended = Awaited<ReturnType<typeof startRedirected>['ended']>;

/** Backs a new VM up, and ends the test when the session did not commit in order. */
async function backUp(outputs: Outputs, ...more: readonly string[]): Promise<Ended> {
  addVm();
  const args = bench.backupArgs(['web01'], ...more);
  const result = await startRedirected(args, outputs, bench.env()).ended;
  expect(pointsOf(bench.repository)).toHaveLength(1);
  expect(bench.lab.leftovers()).toEqual([]);
  expect(strayFilesOf(bench.repository)).toEqual([]);
  await expectClean(bench.repository);
  return result;
}

/** Objects on stderr without the message about a new repository. */
function withoutNewRepository(stderr: string): object[] {
  const lines = stderr.trimEnd().split('\n');
  return lines
    .map((line) => JSON.parse(line) as { readonly code?: string })
    .filter(({ code }) => code !== 'REPO-530');
}

/** Lines of stderr without those that tell what the session waits for. */
function problemsIn(stderr: string): string[] {
  return withoutTimes(stderr)
    .split('\n')
    .filter((line) => /^(warn|error|\s+at)\b|^\{/.test(line));
}

function count(text: string, part: string): number {
  return text.split(part).length - 1;
}

describe('a log that cannot be written', () => {
  it('on a full device is told once, and the session goes on', async () => {
    const { exitCode, stdout, stderr } = await backUp({}, '--log-file', FULL);

    expect(exitCode).toBe(EXIT_CODES.done);
    expect(problemsIn(stderr)).toEqual([`warn: ${LOST_LOG}`]);
    expect(stdout).toMatch(/restore point 1/);
  });

  it('is an object with --json', async () => {
    const { exitCode, stderr } = await backUp({}, '--json', '--log-file', FULL);

    expect(exitCode).toBe(EXIT_CODES.done);
    expect(withoutNewRepository(stderr)).toMatchObject([{ type: 'log_failed', text: LOST_LOG }]);
  });

  it.skipIf(!canMount)(
    'because its volume fills in mid-session keeps its first lines',
    async () => {
      await inSmallVolume(1, async (folder) => {
        const log = path.join(folder, 'log');
        writeFileSync(path.join(folder, 'ballast'), Buffer.alloc(MIB - 4096));
        const args = ['--log-level', 'trace', '--log-file', log];

        const { exitCode, stderr } = await backUp({}, ...args);

        expect(exitCode).toBe(EXIT_CODES.done);
        expect(count(stderr, LOST_LOG)).toBe(1);
        const [first = ''] = readFileSync(log, 'utf8').split('\n');
        expect(JSON.parse(first)).toHaveProperty('msg');
      });
    },
  );

  it('because nobody reads its pipe does not stop the session', async () => {
    const pipe = bench.temp.path('pipe');
    makeFullPipe(pipe);

    const { exitCode, stderr } = await backUp({}, '--log-level', 'trace', '--log-file', pipe);

    expect(exitCode).toBe(EXIT_CODES.done);
    expect(problemsIn(stderr)).toEqual([]);
  });
});

describe('stderr', () => {
  const LOGGED = ['--log-level', 'trace'];

  it('on a full device does not stop the session', async () => {
    const { exitCode, stdout } = await backUp({ stderr: open(FULL) }, ...LOGGED);

    expect(exitCode).toBe(EXIT_CODES.done);
    expect(stdout).toMatch(/restore point 1/);
  });

  it('whose reader is gone does not stop the session', async () => {
    expect((await backUp({ closed: ['stderr'] }, ...LOGGED)).exitCode).toBe(EXIT_CODES.done);
  });

  it('whose reader never reads does not stop the session', async () => {
    const stderr = makeFullPipe(bench.temp.path('pipe'));

    const { exitCode, stdout } = await backUp({ stderr }, ...LOGGED);

    expect(exitCode).toBe(EXIT_CODES.done);
    expect(stdout).toMatch(/restore point 1/);
  });

  it('on a full device does not change the exit code of a failure', async () => {
    const args = ['list', '--repo', bench.temp.path('none')];

    const { exitCode } = await startRedirected(args, { stderr: open(FULL) }).ended;

    expect(exitCode).toBe(EXIT_CODES.repositoryNotFound);
  });
});

describe('stdout', () => {
  const LINE = /^error: the result could not be printed: ENOSPC \(OUTPUT_IO\) hint: .+$/;

  it('on a full device gives exit code 1 and one line, after the session is in order', async () => {
    const { exitCode, stderr } = await backUp({ stdout: open(FULL) });

    expect(exitCode).toBe(EXIT_CODES.failed);
    expect(problemsIn(stderr)).toEqual([expect.stringMatching(LINE)]);
  });

  it('on a full device gives an object with --json', async () => {
    const { stderr } = await backUp({ stdout: open(FULL) }, '--json');

    expect(withoutNewRepository(stderr)).toMatchObject([
      { type: 'exit_error', code: 'OUTPUT_IO', exitCode: 1 },
    ]);
  });

  it('on a full device keeps another exit code', async () => {
    addVm();
    const args = bench.backupArgs(['web01', 'none']);

    const { exitCode, stderr } = await startRedirected(args, { stdout: open(FULL) }, bench.env())
      .ended;

    expect(exitCode).toBeGreaterThan(EXIT_CODES.failed);
    expect(stderr).toContain('OUTPUT_IO');
  });

  it('on a full device is told by --help too', async () => {
    const { exitCode, stderr } = await startRedirected(['--help'], { stdout: open(FULL) }).ended;

    expect(exitCode).toBe(EXIT_CODES.failed);
    expect(problemsIn(stderr)).toEqual([expect.stringMatching(LINE)]);
  });

  it('whose reader is gone is no failure and stays quiet', async () => {
    const { exitCode, stderr } = await backUp({ closed: ['stdout'] });

    expect(exitCode).toBe(EXIT_CODES.done);
    expect(problemsIn(stderr)).toEqual([]);
  });

  it('whose reader never reads keeps the session from nothing', async () => {
    addVm();
    const stdout = makeFullPipe(bench.temp.path('pipe'));
    const args = bench.backupArgs(['web01']);

    const running = startRedirected(args, { stdout }, bench.env());
    await expect.poll(() => pointsOf(bench.repository).length, { timeout: 60_000 }).toBe(1);
    await expect.poll(() => bench.lab.leftovers(), { timeout: 60_000 }).toEqual([]);
    await expect.poll(() => filesOf(bench.repository, 'lock'), { timeout: 60_000 }).toEqual([]);

    running.child.kill('SIGTERM');
    await running.ended;
  });
});

describe('a named pipe without a reader', () => {
  it('is refused as a log', async () => {
    const unread = bench.temp.path('unread');
    makePipe(unread);

    const result = await startCli(bench.backupArgs(['web01'], '--log-file', unread)).ended;

    expect(result.exitCode).toBe(EXIT_CODES.usage);
    expect(result.stderr).toMatch(
      /^error: --log-file .+ cannot be written \(USAGE_INVALID_OPTION\)/,
    );
  });
});
