/** The command `report`, and `backup --report`. */
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { saveRunReport } from '../../src/jobs/runReports.ts';
import { Repository } from '../../src/repository/repository.ts';
import { type CliResult, expectFailure, runCli } from '../helpers/cli/cli.ts';
import { useCliChain } from '../helpers/cli/cliChain.ts';
import { madeUpBadRun } from '../helpers/report/madeUpReports.ts';
import { VM } from '../helpers/repository/imageSessions.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

function modeOf(file: string): number {
  return statSync(file).mode & 0o777;
}

describe('before a repository is opened', () => {
  it.each([
    [[], 'nothing to report'],
    [['--vm', VM, '--job', 'nightly'], '--vm and --job are both given'],
    [['--vm', VM, '--session', 'latest', '--point', '1'], '--session and --point are both'],
    [['--job', 'nightly', '--point', '1'], '--session and --point belong to --vm'],
    [['--vm', VM, '--run', 'latest'], '--run belongs to --job'],
    [['--vm', VM, '--output', '/nowhere/x.html'], 'page /nowhere/x.html: /nowhere: does not exist'],
    [['--vm', VM, '--output', '/dev/null'], 'it exists and is no plain file'],
    [['--vm', VM, '--output', ''], 'the name is empty'],
  ])('refuses %j', async (args, text) => {
    const result = await runCli(['report', '--repo', '/nowhere', ...args]);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(result.stderr).toContain(text);
  });
});

describe('on images', () => {
  const temp = useTempFolder();
  const chain = useCliChain(temp);

  function report(...args: readonly string[]): Promise<CliResult> {
    return runCli(['report', '--repo', chain.repository, ...args]);
  }

  it('shows the newest backup of a VM as text', async () => {
    const result = await report('--vm', VM);

    expect(result.exitCode).toBe(0);
    expect(result.stdout).toMatch(new RegExp(`^${VM}: restore point 2 \\(increment\\)`));
  });

  it('shows the session of a point, as JSON', async () => {
    const result = await report('--vm', VM, '--point', '1', '--json');

    expect(JSON.parse(result.stdout)).toMatchObject({
      type: 'backup',
      outcome: 'ok',
      report: { pointId: chain.firstPoint, pointNumber: 1 },
    });
  });

  it('writes a page that only its owner may read, and replaces an older one', async () => {
    const page = temp.path('page.html');
    const first = await report('--vm', VM, '--point', 'latest', '--output', page);
    writeFileSync(page, 'old', { mode: 0o644 });
    const second = await report('--vm', VM, '--output', page);

    expect([first.exitCode, second.exitCode]).toEqual([0, 0]);
    expect(second.stdout).toBe(`page written to ${page}\n`);
    expect(modeOf(page)).toBe(0o600);
    expect(readFileSync(page, 'utf8')).toMatch(/^<!doctype html>.*2 restore points.*<\/html>\n$/s);
    expect(readdirSync(temp.path()).filter((name) => name.includes('partial'))).toEqual([]);
  });

  it('writes through a link, and leaves the link', async () => {
    const page = temp.path('target.html');
    writeFileSync(page, 'old');
    symlinkSync(page, temp.path('link.html'));
    const result = await report('--vm', VM, '--output', temp.path('link.html'));

    expect(result.exitCode).toBe(0);
    expect(readFileSync(page, 'utf8')).toMatch(/^<!doctype html>/);
  });

  it.each([
    ['a VM', ['--vm', 'nobody']],
    ['a session', ['--vm', VM, '--session', '00000000']],
    ['a point', ['--vm', VM, '--point', '77']],
    ['a job', ['--job', 'nothing']],
  ])('says so when there is no such %s', async (_what, args) => {
    expectFailure(await report(...args), 'USAGE_NOT_FOUND', EXIT_CODES.usage);
  });

  it('says so for a point whose report is gone', async () => {
    const repository = await Repository.open(chain.repository);
    const [folder] = await repository.vmFolders();
    const names = (await folder?.place.fileNames())?.filter((name) => name.endsWith('.json')) ?? [];
    await folder?.place.remove(names);
    await repository.close();

    expect(names).toHaveLength(2);
    const result = await report('--vm', VM, '--point', '1');
    expectFailure(result, 'USAGE_NOT_FOUND', EXIT_CODES.usage);
    expect(result.stderr).toContain('no report of restore point 1');
    expectFailure(await report('--vm', VM), 'USAGE_NOT_FOUND', EXIT_CODES.usage);
  });

  it('shows a run of a job as text and as a page, with the last good points', async () => {
    const repository = await Repository.open(chain.repository);
    const run = madeUpBadRun();
    const failed = { ...run.vms.at(-1)!, vmName: VM, vmId: '' };
    const startedAt = new Date(Date.now() + 1000).toISOString();
    await saveRunReport(repository, { ...run, vms: [failed], startedAt });
    await repository.close();
    const page = temp.path('run.html');

    const text = await report('--job', 'nightly');
    const written = await report('--job', 'nightly', '--run', run.runId, '--output', page);

    expect(text.stdout).toMatch(/^nightly: failed\n1 VM: 1 not started\n/);
    expect(text.stdout).toMatch(/Last good point: \d{4}-\d\d-\d\d \d\d:\d\d UTC, 42 min before/);
    expect(written.exitCode).toBe(0);
    expect(readFileSync(page, 'utf8')).toContain('<title>nightly: failed</title>');
  });

  it('a backup writes its page', async () => {
    const page = temp.path('backup.html');
    const result = await runCli(chain.backupArgs('--report', page));

    expect(result.exitCode).toBe(0);
    expect(modeOf(page)).toBe(0o600);
    expect(readFileSync(page, 'utf8')).toContain('Restore point 3 (increment) holds 1 disk.');
  });

  it('a backup that fails writes its page too', async () => {
    const page = temp.path('failed.html');
    chain.image = temp.path('gone');
    const result = await runCli(chain.backupArgs('--report', page));
    const text = readFileSync(page, 'utf8');

    expectFailure(result, 'USAGE_IMAGE_UNREADABLE', EXIT_CODES.usage);
    expect(text).toContain('No restore point was made.');
    expect(text).toContain('The last good restore point is number 2.');
    expect(text).toContain('USAGE_IMAGE_UNREADABLE');
  });

  it('a backup is not begun when its page cannot be written', async () => {
    const result = await runCli(chain.backupArgs('--report', temp.path('nowhere', 'x.html')));
    const listed = await runCli(['list', '--repo', chain.repository, '--json']);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(listed.stdout.match(/"pointId"/g)).toHaveLength(2);
  });

  it('a backup whose page has become a folder is kept, and ends with 3', async () => {
    const page = temp.path('page.html');
    const hook = temp.path('hook.cjs');
    // The folder appears after the check and before the page is written.
    writeFileSync(
      hook,
      `const fs = require('node:fs');
       const { stat } = fs.promises;
       fs.promises.stat = async (file) => {
         if (file === '${page}') fs.mkdirSync(file + '/x', { recursive: true });
         return file === '${page}' ? undefined : await stat(file);
       };
       require('node:module').syncBuiltinESMExports();`,
    );
    const result = await runCli(chain.backupArgs('--report', page), {
      NODE_OPTIONS: `--require ${hook}`,
    });

    expect(result.exitCode).toBe(EXIT_CODES.doneWithProblems);
    expect(result.stdout).toContain('restore point 3');
    expect(result.stderr).toContain(`no page: write ${page}`);
  });

  it('an option that names a folder is refused', async () => {
    mkdirSync(temp.path('folder'));
    const result = await runCli(chain.backupArgs('--report', temp.path('folder')));

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  });
});
