/** `prune`, `synthesize` and `list` beside a running `export`, and after it was killed. */
import { type ChildProcess, execFileSync, spawnSync } from 'node:child_process';
import { utimesSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import type { ListReport } from '../../src/sessions/inspect/listRepository.ts';
import type { PruneReport } from '../../src/sessions/retention/pruneReport.ts';
import { type CliResult, expectFailure, runCli, startCli } from '../helpers/cli/cli.ts';
import { blocks } from '../helpers/bytes/images.ts';
import { canMountVolumes } from '../helpers/folders.ts';
import { VM } from '../helpers/repository/imageSessions.ts';
import { checkServed, leasePath, leasesOf } from '../helpers/repository/leases.ts';
import { chainOf, expectPoints, type Pictured } from '../helpers/repository/prunes.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const TEXTS = ['AbC0', 'xbC0', 'xyC0', 'xyZ0'];
const SERVED = 1;

let chain: Pictured;
let uri: string;
let child: ChildProcess;
let ended: Promise<CliResult>;

beforeEach(async () => {
  chain = await chainOf(
    temp,
    TEXTS.map((text) => ({ a: blocks(text) })),
  );
});

/** @param command - the program that starts the export. */
async function startExport(
  point: string,
  repository = chain.repository,
  command: readonly string[] = [],
): Promise<void> {
  const socket = temp.path('nbd.sock');
  const place = ['--repo', repository, '--vm', VM, '--point', point];
  ({ child, ended } = startCli(['export', ...place, '--socket', socket], {}, 'ignore', command));
  uri = await new Promise<string>((resolve) => {
    let text = '';
    child.stdout?.on('data', (more: string) => {
      text += more;
      const found = /nbd\+unix:[^\s"]+/.exec(text);
      if (found) resolve(found[0]);
    });
  });
}

async function run(command: string, ...args: readonly string[]): Promise<CliResult> {
  return await runCli([command, '--repo', chain.repository, ...args]);
}

async function expectServed(): Promise<void> {
  await checkServed(uri, blocks(TEXTS[SERVED] ?? ''), temp.path());
}

describe('beside an export', () => {
  test('prune keeps its point and says why, until the export ends', async () => {
    await startExport('2');

    const dry = await run('prune', '--keep-last', '1', '--dry-run');
    const pruned = await run('prune', '--keep-last', '1');

    expect(dry.stderr).toBe(pruned.stderr);
    expect(pruned.exitCode).toBe(EXIT_CODES.done);
    expect(pruned.stderr).toMatch(
      /^warn: REPO-515 Restore point [\w-]+ is being served by pid \d+ on host \S+ since \S+\./,
    );
    expect(pruned.stderr).toContain(`pid ${child.pid} on host`);
    expect(pruned.stderr).toContain('End that export, then run the command again.');
    expect(pruned.stdout).toMatch(/1 +full .* kept: needed\n/);
    expect(pruned.stdout).toMatch(/2 +increment .* kept: served\n/);
    expect(pruned.stdout).toMatch(/3 +increment .* merged into no\. 4\n/);
    await expectServed();
    await expectPoints(chain, [0, 1, 3]);

    child.kill('SIGINT');
    expect(await ended).toMatchObject({ exitCode: EXIT_CODES.done, stderr: expect.any(String) });
    expect(leasesOf(chain.repository)).toEqual([]);
    const after = await run('prune', '--keep-last', '1');
    expect(after).toMatchObject({ exitCode: EXIT_CODES.done, stderr: '' });
    await expectPoints(chain, [3]);
  });

  test('prune tells it as JSON', async () => {
    await startExport('2');

    const { stdout, stderr } = await run('prune', '--keep-last', '1', '--json');

    const { vms } = JSON.parse(stdout) as PruneReport;
    expect(vms[0]?.points.map(({ keptBecause }) => keptBecause)).toEqual([
      ['needed'],
      ['served'],
      [],
      ['last'],
    ]);
    expect(vms[0]?.messages).toMatchObject([{ code: 'REPO-515' }]);
    expect(JSON.parse(stderr)).toMatchObject({ type: 'session_message', code: 'REPO-515' });
    child.kill('SIGTERM');
    await ended;
  });

  test('synthesize refuses its point', async () => {
    await startExport('4');

    const result = await run('synthesize', '--vm', VM);

    expectFailure(result, 'REPOSITORY_LOCKED', EXIT_CODES.repositoryLocked);
    expect(result.stderr).toContain(`pid ${child.pid} on host`);
    child.kill('SIGINT');
    await ended;
    expect(await run('synthesize', '--vm', VM)).toMatchObject({ exitCode: EXIT_CODES.done });
  });

  test('list names it', async () => {
    const before = await run('list');
    await startExport('2');

    const shown = await run('list');
    const { stdout } = await run('list', '--json');

    expect(before.stdout).not.toContain('served by');
    expect(shown.stdout).toMatch(new RegExp(`2 +increment.* pid ${child.pid} on \\S+`));
    expect((JSON.parse(stdout) as ListReport).vms[0]?.points[SERVED]).toMatchObject({
      servedBy: [{ pid: child.pid, host: expect.any(String), since: expect.any(String) }],
    });
    child.kill('SIGINT');
    await ended;
  });
});

test('the lease of an export that was killed ends with it', async () => {
  await startExport('2');
  expect(leasesOf(chain.repository)).toHaveLength(1);
  child.kill('SIGKILL');
  await ended;
  expect(leasesOf(chain.repository)).toHaveLength(1);

  const listed = await run('list');
  const pruned = await run('prune', '--keep-last', '1');

  expect(listed.stdout).not.toContain('served by');
  expect(pruned).toMatchObject({ exitCode: EXIT_CODES.done, stderr: '' });
  expect(leasesOf(chain.repository)).toEqual([]);
  await expectPoints(chain, [3]);
});

test.runIf(await canMountVolumes())(
  'a read-only repository is served, with a warning',
  async () => {
    const { repository } = chain;
    const readOnly = temp.make('read-only');
    execFileSync('mount', ['--bind', repository, readOnly]);
    try {
      execFileSync('mount', ['-o', 'remount,bind,ro', readOnly]);
      await startExport('2', readOnly);

      await expectServed();
      child.kill('SIGINT');
      const { exitCode, stderr } = await ended;

      expect(exitCode).toBe(EXIT_CODES.done);
      expect(stderr.match(/^warn: REPO-518 .*\(EROFS\)/gm)).toHaveLength(1);
      expect(leasesOf(repository)).toEqual([]);
    } finally {
      execFileSync('umount', [readOnly]);
    }
  },
);

/** A PID namespace of its own: neither side can see the processes of the other. */
const ISOLATED = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];

function canIsolate(): boolean {
  return spawnSync(ISOLATED[0] ?? '', [...ISOLATED.slice(1), 'true']).status === 0;
}

test.runIf(canIsolate())(
  'the lease of another container ends 15 minutes after it was killed',
  async () => {
    const { repository } = chain;
    await startExport('2', repository, ISOLATED);
    const [lease = ''] = leasesOf(repository);
    const file = leasePath(repository, lease);
    const agoMinutes = (minutes: number): void => {
      const time = new Date(Date.now() - minutes * 60_000);
      utimesSync(file, time, time);
    };

    agoMinutes(10);
    const beside = await run('prune', '--keep-last', '1');
    await expectServed();
    child.kill('SIGKILL');
    await ended;
    const soon = await run('prune', '--keep-last', '1');
    agoMinutes(16);
    const later = await run('prune', '--keep-last', '1');

    for (const kept of [beside, soon]) expect(kept.stderr).toMatch(/^warn: REPO-515 /);
    expect(later).toMatchObject({ exitCode: EXIT_CODES.done, stderr: '' });
    expect(leasesOf(repository)).toEqual([]);
    await expectPoints(chain, [3]);
  },
);
