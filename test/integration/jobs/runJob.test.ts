/** Runs of a job against a lab: VMs, failures, retries, steps, state and history. */
import { existsSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { KIB, BLOCK_BYTES } from '../../helpers/bytes/images.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { outcomesOf, useJobs } from '../../helpers/jobs/jobBench.ts';
import { EXIT_CODES } from '../../../src/core/errors.ts';
import { MIB } from '../../../src/core/units.ts';
import { exitCodeOfRun } from '../../../src/jobs/run/outcome.ts';
import type { RunReport } from '../../../src/jobs/runReport.ts';
import { listRunReports } from '../../../src/jobs/runReports.ts';
import { StateFolder } from '../../../src/jobs/state/stateFolder.ts';
import { Repository } from '../../../src/repository/repository.ts';
import { listSessionReports } from '../../../src/sessions/history/listReports.ts';
import { verifyRepository } from '../../../src/sessions/verify/verifyRepository.ts';

const jobs = useJobs();

function modesOf({ vms }: RunReport): string[] {
  return vms.flatMap(({ vmName, report }) =>
    (report?.disks ?? []).map((disk) => `${vmName} ${disk.mode}`),
  );
}

/** Codes of the messages of each VM's session. */
function codesOf({ vms }: RunReport): unknown {
  return vms.map((vm) => vm.report?.messages.map(({ code }) => code));
}

describe('a run', () => {
  it('backs up its VMs in the mode that each one allows', async () => {
    const [web] = jobs.addVms('web01');
    const raw = { name: 'raw_sys', sizeBytes: 4 * BLOCK_BYTES, format: 'raw' } as const;
    jobs.bench.lab
      .addVm({ name: 'raw01', disks: [raw] })
      .disk('raw_sys')
      .write(0, noise(9, KIB));
    const job = jobs.job();

    const first = await jobs.run(job);
    web?.disk('web01_sys').write(0, noise(3, 100));
    const second = await jobs.run(job);

    expect(modesOf(first)).toEqual(['raw01 full', 'web01 full']);
    expect(modesOf(second)).toEqual(['raw01 compare', 'web01 incremental']);
    expect([first.outcome, exitCodeOfRun(first, false)]).toEqual(['success', 0]);
    const [raw01, web01] = await jobs.list();
    expect([raw01?.points.length, web01?.points.length]).toEqual([2, 2]);
  });

  it('leaves out the disks that its job excludes, and warns of no other VM', async () => {
    const disks = [
      { name: 'db_sys', sizeBytes: MIB },
      { name: 'db_lun', sizeBytes: MIB, storageType: 'lun' },
      { name: 'db_swap', sizeBytes: MIB },
    ] as const;
    jobs.bench.lab.addVm({ name: 'db', disks });
    jobs.addVms('web');
    const job = jobs.job({ excludeDisks: ['*_lun', 'db_swap', 'none*'] });

    const plain = await jobs.run(jobs.job());
    const report = await jobs.run(job);

    expect([codesOf(plain), plain.outcome]).toEqual([[['JOB-601'], []], 'warning']);
    expect([codesOf(report), report.outcome]).toEqual([[[], []], 'success']);
    const aliases = report.vms.map((vm) => vm.report?.disks.map(({ alias }) => alias));
    expect(aliases).toEqual([['db_sys'], ['web_sys']]);
    const preview = await jobs.preview(job);
    expect(preview.vms[0]?.disks.map(({ alias, mode }) => `${alias} ${mode}`)).toEqual([
      'db_sys incremental',
      'db_lun left out',
      'db_swap left out',
    ]);
    expect(preview.vms.flatMap(({ messages }) => messages)).toEqual([]);
  });

  it('goes on after VMs that fail, and tells them', async () => {
    const [, bad] = jobs.addVms('a', 'b', 'c');
    if (bad) bad.status = 'suspended';
    const job = jobs.job({ vms: { names: ['a', 'b', 'c', 'missing'] } });

    const report = await jobs.run(job);

    expect(outcomesOf(report)).toEqual(['a success', 'b failure', 'c success', 'missing failure']);
    expect(report.vms.map(({ failure }) => failure?.code)).toEqual([
      undefined,
      'ENGINE_VM_STATE',
      undefined,
      'USAGE_NOT_FOUND',
    ]);
    expect([report.outcome, exitCodeOfRun(report, false)]).toEqual(['failure', 3]);
    const { vms, openRun, lastRun } = await jobs.state(job);
    expect(vms.map(({ vmName, lastOutcome }) => `${vmName} ${lastOutcome}`)).toEqual(
      outcomesOf(report),
    );
    expect([openRun, lastRun?.outcome]).toEqual([undefined, 'failure']);
  });

  it('tries VMs that failed again, and the last session counts', async () => {
    jobs.addVms('a', 'b');
    const { behaviour } = jobs.bench.lab;
    behaviour.backupFails = true;
    const job = jobs.job({ retry: { times: 2, delayMs: 0 } });

    const report = await jobs.run(job, {
      onMessage: ({ code }) => {
        if (code === 'JOB-622') behaviour.backupFails = false;
      },
    });

    expect(report.vms.map(({ outcome, attempts }) => [outcome, attempts])).toEqual([
      ['success', 2],
      ['success', 2],
    ]);
    expect(report.messages.map(({ code }) => code)).toEqual(['REPO-530', 'JOB-622']);
    expect(report.outcome).toBe('success');
  });

  it('prunes, verifies and copies only the VMs of the job', async () => {
    const [, other] = jobs.addVms('mine', 'other');
    await jobs.run(jobs.job());
    await jobs.run(jobs.job());
    const job = jobs.job({
      vms: { all: true, exclude: ['other'] },
      keep: { last: 1 },
      verifySampleRatio: 1,
      copyTo: jobs.repositoryOf('offsite'),
    });

    const report = await jobs.run(job);

    const counts = (await jobs.list()).map(({ vmName, points }) => [vmName, points.length]);
    expect(counts).toEqual([
      ['mine', 1],
      ['other', 2],
    ]);
    expect((await jobs.list('offsite')).map(({ vmName }) => vmName)).toEqual(['mine']);
    expect(report.prune?.vms.map(({ vmName }) => vmName)).toEqual(['mine']);
    expect(report.copy?.vms).toMatchObject([{ vmName: 'mine', copied: [{}], failed: [] }]);
    expect(report.verify).toMatchObject({ outcome: 'ok', damagedVms: [] });
    expect(report.verify?.readBytes).toBeGreaterThan(0);
    expect(report.vanishedVms).toEqual([other?.name]);
    await using repository = await Repository.open(job.repository.place);
    const sessions = await listSessionReports(repository, { vm: 'mine' });
    expect(sessions.map(({ type }) => type)).toEqual(['verify', 'prune', 'backup']);
    const [newest] = await listSessionReports(repository, { limit: 1 });
    expect(newest).toMatchObject({ type: 'verify', vmName: 'mine' });
    const verified = await verifyRepository({ repository: jobs.temp.path('offsite'), workers: 0 });
    expect(verified.outcome).toBe('ok');
  });

  it('tries each step, also after one that failed', async () => {
    jobs.addVms('a');
    const job = jobs.job({ copyTo: jobs.repositoryOf('main'), verifySampleRatio: 1 });

    const report = await jobs.run(job);

    expect(report.failedSteps).toMatchObject([{ step: 'copy', code: 'USAGE_INVALID_OPTION' }]);
    expect(report.verify?.outcome).toBe('ok');
    expect(jobs.codes()).toEqual(['JOB-625']);
    expect(exitCodeOfRun(report, false)).toBe(EXIT_CODES.doneWithProblems);
  });

  it('leaves its report in the history of the repository', async () => {
    jobs.addVms('a');
    const job = jobs.job();

    const { runId } = await jobs.run(job);

    await using repository = await Repository.open(job.repository.place);
    const reports = await listRunReports(repository, { job: 'nightly' });
    expect(reports).toMatchObject([
      { runId, outcome: 'success', vms: [{ vmName: 'a', outcome: 'success' }] },
    ]);
  });

  it('is refused while the job runs', async () => {
    jobs.addVms('a');
    const job = jobs.job();
    const state = await StateFolder.open(jobs.fileOf(job));
    await using _ = await state.lockJob(job.name);

    await expect(jobs.run(job)).rejects.toMatchObject({ code: 'JOB_RUNNING' });
  });
});

describe('a plan that fails', () => {
  it('for a wrong password starts no session and makes no repository', async () => {
    jobs.addVms('a');
    const job = jobs.job();
    writeFileSync(job.engine.password.path, 'wrong\n', { mode: 0o600 });

    const report = await jobs.run(job);

    expect(report.failedSteps).toMatchObject([{ step: 'plan', code: 'ENGINE_AUTH_REFUSED' }]);
    expect(exitCodeOfRun(report, false)).toBe(EXIT_CODES.authRefused);
    expect(existsSync(job.repository.place)).toBe(false);
    expect((await jobs.state(job)).lastRun?.outcome).toBe('failure');
    expect(jobs.codes()).toEqual(['JOB-625']);
  });

  it('for a repository that cannot be opened names the VMs that were not started', async () => {
    jobs.addVms('a', 'b');
    const job = jobs.job();
    writeFileSync(job.repository.place, 'no folder');

    const report = await jobs.run(job, { only: ['a'] });

    expect(outcomesOf(report)).toEqual(['a notStarted']);
    expect(report.failedSteps).toMatchObject([
      { step: 'plan', code: expect.stringMatching(/^REPOSITORY_/) as string },
    ]);
  });

  it('for a selection that fits nothing is a failure', async () => {
    jobs.addVms('a');

    const report = await jobs.run(jobs.job({ vms: { names: ['web*'] } }));

    expect(report.failedSteps).toMatchObject([{ step: 'plan', code: 'USAGE_NOT_FOUND' }]);
    expect(exitCodeOfRun(report, false)).toBe(EXIT_CODES.failed);
  });
});
