/** What sessions leave behind, and `history` as its users run it. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { Repository } from '../../src/repository/repository.ts';
import { copyPoints } from '../../src/sessions/copy/copyPoints.ts';
import {
  listSessionReports,
  readPointReport,
  readSessionReport,
} from '../../src/sessions/history/listReports.ts';
import { saveRunReport } from '../../src/jobs/runReports.ts';
import type { RunReport } from '../../src/jobs/runReport.ts';
import { verifyRepository } from '../../src/sessions/verify/verifyRepository.ts';
import { blocks, flipBit, writeImage } from '../helpers/bytes/images.ts';
import { exitErrorOf, runCli } from '../helpers/cli/cli.ts';
import { expectCode } from '../helpers/codes.ts';
import { backup, restore, VM } from '../helpers/repository/imageSessions.ts';
import { backUpState, prune, synthesize } from '../helpers/repository/prunes.ts';
import {
  filesOf,
  firstExtent,
  modeOf,
  onlyFileOf,
  pointsOf,
  reportsOf,
  vmFolderOf,
} from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();

/** Types and outcomes of the reports, each once. */
async function typesIn(place: string): Promise<string[]> {
  await using repository = await Repository.open(place);
  const records = await listSessionReports(repository);
  return [...new Set(records.map(({ type, outcome }) => `${type} ${outcome}`))].toSorted();
}

/** A repository with a full, whose middle block is zero, and an increment of one block. */
async function twoPoints(): Promise<string> {
  const repository = temp.path('repo');
  await backUpState(temp, repository, { a: blocks('A0c') });
  await backUpState(temp, repository, { a: blocks('A0d') });
  return repository;
}

/** A session that is stopped as soon as it has begun. */
async function failBackup(repository: string): Promise<void> {
  const abort = new AbortController();
  const onProgress = (): void => abort.abort();
  const options = { signal: abort.signal, onProgress };
  await expectCode(backup(repository, temp.path('a'), options), 'CANCELLED');
}

describe('each session leaves its report', () => {
  test('with the same content that it returns', async () => {
    const repository = temp.path('repo');
    const image = writeImage(temp.path('a'), blocks('A0c'));

    const full = await backup(repository, image);

    await using opened = await Repository.open(repository);
    const { report, ...header } = { report: undefined, ...(await readSessionReport(opened, VM)) };
    const { sessionId, vmId, startedAt } = full;
    expect(report).toEqual(JSON.parse(JSON.stringify(full)));
    expect(header).toMatchObject({ type: 'backup', outcome: 'ok', sessionId, vmId, startedAt });
    const [file = ''] = reportsOf(repository);
    expect(modeOf(path.join(vmFolderOf(repository), file))).toBe('600');
  });

  test('and is found by its point', async () => {
    const repository = await twoPoints();
    await using opened = await Repository.open(repository);
    const folder = await opened.requireVm(VM);

    for (const point of pointsOf(repository)) {
      expect((await readPointReport(folder, point))?.report.pointId).toBe(point.pointId);
    }
  });

  test('with the places of its changes', async () => {
    const repository = temp.path('repo');
    const states = ['A0c', 'A0d', '00d'].map((text) => blocks(text));
    const maps: (string | undefined)[] = [];
    for (const bytes of states) {
      const { disks } = await backup(repository, writeImage(temp.path('a'), bytes));
      maps.push(disks[0]?.blockMap?.cells);
    }

    expect(maps).toEqual(['909', '..9', '0..']);
  });

  test('of every type', async () => {
    const repository = await twoPoints();
    const to = temp.path('copy');
    await verifyRepository({ repository, workers: 0 });
    await restore(repository);
    await copyPoints({ from: repository, to, workers: 0 });
    await synthesize(repository);
    await prune(repository, { last: 1 });

    expect(await typesIn(repository)).toEqual([
      'backup ok',
      'prune ok',
      'restore ok',
      'synthesize ok',
      'verify ok',
    ]);
    expect(await typesIn(to)).toEqual(['copy ok']);
  });

  test('but not a prune that only shows its plan', async () => {
    const repository = await twoPoints();

    await prune(repository, { last: 1 }, { dryRun: true });

    expect(await typesIn(repository)).toEqual(['backup ok']);
  });

  test('also when it fails, and nothing else changes', async () => {
    const repository = await twoPoints();
    const before = filesOf(repository);
    await failBackup(repository);

    expect(filesOf(repository)).toEqual(before);
    expect(await typesIn(repository)).toEqual(['backup failed', 'backup ok']);
  });

  test('and a verify that finds damage counts as failed', async () => {
    const repository = await twoPoints();
    const full = onlyFileOf(repository, '.vbk');
    const { offsetBytes } = await firstExtent(full, 'plain');
    flipBit(full, offsetBytes + 20);
    const { outcome } = await verifyRepository({ repository, workers: 0 });

    expect(outcome).toBe('damaged');
    await using opened = await Repository.open(repository);
    const failed = await listSessionReports(opened, { onlyFailed: true });
    expect(failed).toMatchObject([{ type: 'verify', code: 'INTEGRITY_DAMAGE_FOUND' }]);
  });

  test('and a verify that cannot read one of two containers leaves one report', async () => {
    const repository = await twoPoints();
    const [, increment] = pointsOf(repository);
    const file = path.join(vmFolderOf(repository), increment?.fileName ?? '');
    rmSync(file);
    mkdirSync(file);

    const { failures } = await verifyRepository({ repository });
    expect(failures).toHaveLength(1);

    await using opened = await Repository.open(repository);
    const records = await listSessionReports(opened, { type: 'verify' });
    expect(records).toMatchObject([
      { outcome: 'failed', code: failures[0]?.code, report: { damageCount: 0 } },
    ]);
  });
});

describe('a prune', () => {
  test('deletes the reports of points that are gone', async () => {
    const repository = temp.path('repo');
    for (const text of ['Ab', 'cb', 'cd']) {
      await backUpState(temp, repository, { a: blocks(text) });
      await verifyRepository({ repository, workers: 0 });
    }

    await prune(repository, { last: 1 });

    await using opened = await Repository.open(repository);
    const records = await listSessionReports(opened);
    expect(records.map(({ type }) => type)).toEqual(['prune', 'verify', 'backup']);
    const [left] = pointsOf(repository);
    expect(records.at(-1)).toMatchObject({ report: { pointId: left?.pointId } });
  });
});

function run(...args: readonly string[]): ReturnType<typeof runCli> {
  return runCli(['history', '--repo', temp.path('repo'), ...args]);
}

describe('history', () => {
  test('shows sessions as a table and as JSON', async () => {
    await twoPoints();
    const all = await run();
    const json = await run('--json', '--last', '1', '--vm', VM);

    expect(all).toMatchObject({ exitCode: EXIT_CODES.done, stderr: '' });
    expect(all.stdout).toMatch(/^started +vm +session +result +duration +point/);
    expect(all.stdout).toMatch(/ vm +backup +ok .* 2 increment /);
    const { type, sessions } = JSON.parse(json.stdout) as { type: string; sessions: unknown[] };
    expect(type).toBe('history');
    expect(sessions).toHaveLength(1);
  });

  test('shows only what failed', async () => {
    const repository = await twoPoints();
    await failBackup(repository);

    const { stdout } = await run('--failed');

    expect(stdout).toMatch(/ backup +failed .*CANCELLED the session was cancelled/);
    expect(stdout.trim().split('\n')).toHaveLength(2);
  });

  test('shows the runs of a job', async () => {
    await using opened = await Repository.open(await twoPoints());
    await saveRunReport(opened, RUN);

    const { stdout } = await run('--job', 'nightly');

    expect(stdout).toMatch(/ nightly +failed +2\.0 s +2 VMs: 1 failed, 1 not started/);
    expect(stdout).toContain('prune: REPOSITORY_LOCKED it is locked');
    expect((await run('--job', 'weekly')).stdout).toMatch(/^no run of this job/);
  });

  test('tells a damaged report, and goes on', async () => {
    const repository = await twoPoints();
    const [first = ''] = reportsOf(repository);
    writeFileSync(path.join(vmFolderOf(repository), first), '{');

    const { exitCode, stdout, stderr } = await run();

    expect(exitCode).toBe(EXIT_CODES.done);
    expect(stdout.trim().split('\n')).toHaveLength(2);
    expect(stderr).toContain('REPO-562');
    expect(stderr).toContain(first);
  });

  test.each([
    [['--vm', 'other'], 'USAGE_NOT_FOUND'],
    [['--vm', VM, '--job', 'nightly'], 'USAGE_INVALID_OPTION'],
    [['--last', '0'], 'USAGE_INVALID_OPTION'],
  ])('refuses %j', async (args, code) => {
    await twoPoints();

    const result = await run('--json', ...args);

    expect(exitErrorOf(result).code).toBe(code);
    expect(result.exitCode).toBe(EXIT_CODES.usage);
  });

  test('reads reports of a sealed repository, which are not in clear', async () => {
    const repository = temp.path('repo');
    const keyFile = temp.path('key');
    writeFileSync(keyFile, 'correct horse battery staple\n', { mode: 0o600 });
    const image = writeImage(temp.path('a'), blocks('Ab'));
    await backup(repository, image, { store: { keyFile } });
    const [name = ''] = reportsOf(repository);
    const sealed = readFileSync(path.join(vmFolderOf(repository), name));

    const { stdout } = await run('--key-file', keyFile, '--json');

    expect(sealed.includes('sessionId')).toBe(false);
    expect(stdout).toContain('"sessionId"');
  });
});

const FAILURE = { code: 'ENGINE_BUSY', message: 'busy', hint: 'wait' } as const;
const RUN: RunReport = {
  type: 'run',
  runId: '01234567-0000-4000-8000-000000000000',
  jobName: 'nightly',
  repository: '',
  trigger: 'command',
  startedAt: '2026-11-30T01:00:00.000Z',
  durationSeconds: 2,
  outcome: 'failure',
  vms: [
    {
      vmName: 'web01',
      vmId: 'x',
      outcome: 'failure',
      attempts: 1,
      failure: { vmName: 'web01', ...FAILURE },
    },
    { vmName: 'web02', vmId: 'y', outcome: 'notStarted', attempts: 0 },
  ],
  vanishedVms: [],
  newVms: [],
  missedSlots: [],
  hooks: [],
  failedSteps: [
    { step: 'prune', code: 'REPOSITORY_LOCKED', message: 'it is locked', hint: 'wait' },
  ],
  messages: [],
};
