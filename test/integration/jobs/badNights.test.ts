/** Nights on which something around a job is bad: its repository, its engine, its state folder. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../../src/core/errors.ts';
import type { NotifyConfig } from '../../../src/jobs/jobFile.ts';
import { exitCodeOfRun } from '../../../src/jobs/run/outcome.ts';
import { stopByHand } from '../../../src/jobs/stopByHand.ts';
import { Repository } from '../../../src/repository/repository.ts';
import { listSessionReports } from '../../../src/sessions/history/listReports.ts';
import { HeldClock } from '../../helpers/jobs/heldClock.ts';
import { outcomesOf, useJobs } from '../../helpers/jobs/jobBench.ts';
import { limitsOf } from '../../helpers/jobs/stops.ts';

const HOUR_MS = 3_600_000;
const jobs = useJobs();

/** Writes a line with the event of each notification. */
function receiver(): NotifyConfig {
  const script = `sed 's/.*"event":"\\([a-z]*\\)".*/\\1/' >> ${jobs.temp.path('told')}; echo >> ${jobs.temp.path('told')}`;
  return {
    name: 'ops',
    on: ['failure', 'warning', 'success', 'recovered', 'missed'],
    mail: undefined,
    webhook: undefined,
    command: { command: ['sh', '-c', script], timeoutMs: 60_000 },
  };
}

function told(): string[] {
  const file = jobs.temp.path('told');
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
}

describe('a repository of earlier runs that is gone', () => {
  it.each(['an empty folder', 'nothing'])('leaves %s, and fails the plan', async (rest) => {
    jobs.addVms('a');
    const job = jobs.job();
    const { place } = job.repository;
    await jobs.run(job);
    renameSync(place, `${place}.away`);
    if (rest === 'an empty folder') mkdirSync(place);

    const report = await jobs.run(job);

    expect(report.failedSteps).toMatchObject([
      {
        step: 'plan',
        code: 'REPOSITORY_NOT_FOUND',
        message: `${place}: the repository of earlier runs is gone`,
      },
    ]);
    expect(exitCodeOfRun(report, false)).toBe(EXIT_CODES.repositoryNotFound);
    expect(existsSync(`${place}/ovirt-cbt.json`)).toBe(false);
    await expect(jobs.preview(job)).rejects.toMatchObject({ code: 'REPOSITORY_NOT_FOUND' });
    const anew = await jobs.run(job, { newRepository: true });
    expect(outcomesOf(anew)).toEqual(['a success']);
    expect((await jobs.run(job)).outcome).toBe('success');
  });
});

describe('a run of some VMs', () => {
  it('recovers nothing that is bad beside them', async () => {
    const [, bad] = jobs.addVms('a', 'b');
    if (bad) bad.status = 'suspended';
    const job = jobs.job({ notify: [receiver()] });
    await jobs.run(job);
    const { lastRun } = await jobs.state(job);

    const report = await jobs.run(job, { only: ['a'] });

    expect([report.outcome, report.isPartial]).toEqual(['success', true]);
    const after = await jobs.state(job);
    expect([after.lastRun, after.lastSuccessAt]).toEqual([lastRun, undefined]);
    expect(lastRun?.outcome).toBe('failure');
    expect(after.vms.map(({ lastOutcome }) => lastOutcome)).toEqual(['success', 'failure']);
    expect(after.vms[0]?.lastPointType).toBe('increment');
    await jobs.run(job, { only: ['b'] });
    expect(told()).toEqual(['failure', 'failure']);
  });
});

describe('an engine that is down', () => {
  it('is asked again as the job says', async () => {
    jobs.addVms('a');
    const { faults } = jobs.bench.lab;
    faults.add({ server: 'engine' }, { status: 503 });

    const report = await jobs.run(jobs.job({ retry: { times: 2, delayMs: 0 } }), {
      onMessage: ({ code }) => {
        if (code === 'JOB-640') faults.clear();
      },
    });

    expect(outcomesOf(report)).toEqual(['a success']);
    expect(report.messages.map(({ code }) => code)).toEqual(['JOB-640', 'REPO-530']);
    expect(report.outcome).toBe('success');
  });

  it('is not asked after the window', async () => {
    jobs.addVms('a');
    jobs.bench.lab.faults.add({ server: 'engine' }, { status: 503 });
    const clock = new HeldClock('2026-03-02T05:30:00Z');
    const retry = { times: 2, delayMs: HOUR_MS };

    const report = await jobs.run(jobs.job({ windowUntil: '06:00', retry }), { clock });

    expect(report.failedSteps).toMatchObject([{ step: 'plan', code: 'ENGINE_UNREACHABLE' }]);
    expect(jobs.codes()).toEqual(['JOB-625']);
  });
});

describe('a VM that is busy', () => {
  it('is not waited for beyond the window', async () => {
    const [vm] = jobs.addVms('a');
    if (vm) vm.status = 'migrating';
    const clock = new HeldClock('2026-03-02T05:59:59.990Z');
    const job = jobs.job({ windowUntil: '06:00' });
    const backup = { ...job.backup, waitMs: 24 * HOUR_MS };

    const report = await jobs.run({ ...job, backup }, { clock });

    expect(report.vms).toMatchObject([
      { outcome: 'failure', failure: { code: 'ENGINE_VM_STATE' } },
    ]);
  });
});

describe('a stop', () => {
  it('in a step is no failure of it', async () => {
    jobs.addVms('a');
    const stop = new AbortController();
    let hasEnded = false;
    const job = jobs.job({ keep: { last: 1 }, verifySampleRatio: 1 });

    await jobs.run(job, {
      trigger: 'schedule',
      signal: stop.signal,
      onProgress: ({ type }) => {
        if (hasEnded) stop.abort();
        hasEnded ||= type === 'ended';
      },
    });

    expect(stop.signal.aborted).toBe(true);
    expect(jobs.codes()).toEqual([]);
    await using repository = await Repository.open(job.repository.place);
    const sessions = await listSessionReports(repository);
    expect(sessions.map(({ type, outcome }) => `${type} ${outcome}`)).toEqual(['backup ok']);
  });
});

describe('a stop by hand', () => {
  it('of a run of the schedule ends it: VMs are free, and receivers are told once', async () => {
    jobs.addVms('a', 'b', 'c');
    const stop = new AbortController();
    const job = jobs.job({
      notify: [receiver()],
      keep: { last: 1 },
      limits: limitsOf(1),
    });
    const results: string[] = [];

    const report = await jobs.run(job, {
      trigger: 'schedule',
      signal: stop.signal,
      onResult: ({ vmName }) => results.push(vmName),
      onProgress: ({ type, vmName }) => {
        if (type === 'diskStarted' && vmName === 'b') stop.abort(stopByHand());
      },
    });

    expect(outcomesOf(report)).toEqual(['a success', 'b failure', 'c notStarted']);
    expect(results).toEqual(['a', 'b']);
    expect(report.vms[1]?.failure).toMatchObject({ code: 'CANCELLED' });
    expect(report.prune).toBeUndefined();
    expect(jobs.codes()).toEqual(['JOB-641']);
    expect(told()).toEqual(['failure']);
    expect(await jobs.state(job)).toMatchObject({
      lastRun: { runId: report.runId, outcome: 'failure' },
    });
    expect((await jobs.state(job)).openRun).toBeUndefined();
  });
});

describe('a state folder that cannot be used', () => {
  it('is told to the receivers of the job', async () => {
    jobs.addVms('a');
    writeFileSync(jobs.temp.path('state'), 'no folder');
    const job = jobs.job({ notify: [receiver()] });

    await expect(jobs.run(job)).rejects.toMatchObject({ code: 'OUTPUT_IO' });

    expect(told()).toEqual(['failure']);
    expect(existsSync(job.repository.place)).toBe(false);
  });
});
