/** Limits, window, stop and hooks of runs against a lab. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { exitCodeOfRun } from '../../../src/jobs/run/outcome.ts';
import { BLOCK_BYTES } from '../../helpers/bytes/images.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { HeldClock } from '../../helpers/jobs/heldClock.ts';
import { outcomesOf, useJobs } from '../../helpers/jobs/jobBench.ts';
import { OpenBackups } from '../../helpers/jobs/openBackups.ts';
import { limitsOf, onceEnded, stopped } from '../../helpers/jobs/stops.ts';

const jobs = useJobs();

describe('limits', () => {
  it('of a run hold', async () => {
    const backups = new OpenBackups(jobs.bench.lab, jobs.addVms('a', 'b', 'c', 'd', 'e'));

    const report = await jobs.run(jobs.job({ limits: limitsOf(3) }));

    const told = [report, ...report.vms.flatMap((vm) => vm.report ?? [])];
    const messages = told.flatMap((one) => one.messages).filter(({ level }) => level !== 'info');
    expect([report.outcome, report.vms.length, messages]).toEqual(['success', 5, []]);
    expect(backups.most).toBe(3);
  });

  it('of the rate are told apart from reading', async () => {
    const [vm] = jobs.addVms('a');
    vm?.disk('a_sys').write(0, noise(5, 4 * BLOCK_BYTES));
    const limits = { ...limitsOf(1), bytesPerSecond: 4 * BLOCK_BYTES };

    const [result] = (await jobs.run(jobs.job({ limits }))).vms;

    const seconds = result?.report?.disks[0]?.seconds;
    expect(seconds?.limit).toBeGreaterThan(0);
    expect(seconds?.read).toBeLessThan(seconds?.limit ?? 0);
    expect(result?.report?.bottleneck.stage).toBe('limit of the rate');
  });

  it('of the rate do not hold up a stop', async () => {
    jobs.addVms('a');
    const stop = new AbortController();
    const limits = { ...limitsOf(1), bytesPerSecond: 1 };

    const report = await jobs.run(jobs.job({ limits }), {
      signal: stop.signal,
      onProgress: (event) => {
        if (event.type === 'phase' && event.phase === 'reading') setTimeout(() => stop.abort(), 50);
      },
    });

    expect(report.vms).toMatchObject([{ outcome: 'failure', failure: { code: 'CANCELLED' } }]);
  });
});

describe('a window', () => {
  it('that ends starts no other VM, and steps are done nevertheless', async () => {
    jobs.addVms('a', 'b', 'c');
    const clock = new HeldClock('2026-03-02T01:00:00Z');
    const job = jobs.job({ windowUntil: '06:00', limits: limitsOf(1), keep: { last: 3 } });

    const report = await jobs.run(job, {
      clock,
      onProgress: onceEnded(() => clock.advance(5 * 3_600_000)),
    });

    expect(outcomesOf(report)).toEqual(['a success', 'b notStarted', 'c notStarted']);
    expect(jobs.codes()).toEqual(['JOB-621']);
    expect(report.prune?.vms.map(({ vmName }) => vmName)).toEqual(['a']);
    expect([report.outcome, exitCodeOfRun(report, false)]).toEqual(['failure', 3]);
    expect(report.durationSeconds).toBe(5 * 3600);
  });
});

describe('a run that is stopped', () => {
  it('by hand is over, and a failure', async () => {
    jobs.addVms('a', 'b');
    const job = jobs.job({ limits: limitsOf(1) });

    const report = await stopped(jobs, job, 'command');

    expect(outcomesOf(report)).toEqual(['a success', 'b notStarted']);
    const { openRun, lastRun } = await jobs.state(job);
    expect([openRun, lastRun?.outcome]).toEqual([undefined, 'failure']);
  });
});

describe('hooks', () => {
  const LONG_MS = 60_000;

  function hookOf(script: string, timeoutMs = LONG_MS): { command: string[]; timeoutMs: number } {
    return { command: ['sh', '-c', script], timeoutMs };
  }

  it('run before and after, and get the report', async () => {
    jobs.addVms('a');
    const [before, copy, facts] = ['before', 'copy.json', 'facts'].map((name) =>
      jobs.temp.path(name),
    );
    const after = `cp "$OVIRT_CBT_REPORT" ${copy} && stat -c %a "$OVIRT_CBT_REPORT" > ${facts} && echo "$OVIRT_CBT_REPORT $OVIRT_CBT_OUTCOME" >> ${facts}`;
    const hooks = {
      before: [hookOf(`echo "$OVIRT_CBT_JOB $OVIRT_CBT_RUN_ID" > ${before}`)],
      after: [hookOf(after)],
    };

    const report = await jobs.run(jobs.job({ hooks }));

    expect(readFileSync(before ?? '', 'utf8')).toBe(`nightly ${report.runId}\n`);
    const [mode, place = ''] = readFileSync(facts ?? '', 'utf8').split('\n');
    const [file = '', outcome] = place.split(' ');
    expect([mode, outcome, existsSync(file)]).toEqual(['600', 'success', false]);
    expect(JSON.parse(readFileSync(copy ?? '', 'utf8'))).toMatchObject({
      type: 'run',
      runId: report.runId,
      vms: [{ vmName: 'a', outcome: 'success' }],
    });
    expect(report.hooks.map(({ when, program, exitCode }) => [when, program, exitCode])).toEqual([
      ['before', 'sh', 0],
      ['after', 'sh', 0],
    ]);
  });

  it('that fail before the run leave all VMs alone, and those after it still run', async () => {
    jobs.addVms('a');
    const marker = jobs.temp.path('after');
    const hooks = {
      before: [hookOf('exit 4'), hookOf('true')],
      after: [hookOf(`echo "$OVIRT_CBT_OUTCOME" > ${marker}`)],
    };

    const report = await jobs.run(jobs.job({ hooks }));

    expect(report.failedSteps).toMatchObject([
      {
        step: 'hook',
        code: 'HOOK_FAILED',
        message: 'hook "sh" before the run: it ended with exit code 4',
      },
    ]);
    expect([report.vms, report.hooks.length, exitCodeOfRun(report, false)]).toEqual([[], 2, 1]);
    expect(readFileSync(marker, 'utf8')).toBe('failure\n');
    expect(existsSync(jobs.temp.path('main'))).toBe(false);
  });

  it('that hang are killed with all that they started', async () => {
    jobs.addVms('a');
    const pidFile = jobs.temp.path('pid');
    const hang = `sleep 1000 & echo $! > ${pidFile}; wait`;
    const hooks = { before: [], after: [hookOf(hang, 500)] };

    const report = await jobs.run(jobs.job({ hooks }));

    expect(report.hooks).toMatchObject([{ when: 'after', timedOut: true }]);
    expect(report.hooks[0]?.exitCode).toBeUndefined();
    expect(outcomesOf(report)).toEqual(['a success']);
    expect([report.outcome, exitCodeOfRun(report, false)]).toEqual(['failure', 3]);
    const pid = Number(readFileSync(pidFile, 'utf8'));
    const isGone =
      !existsSync(`/proc/${pid}`) ||
      /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
    expect(isGone).toBe(true);
  });

  it('that do not exist are told by their name', async () => {
    jobs.addVms('a');
    const missing = jobs.temp.path('missing');
    const hooks = { before: [{ command: [missing, 'secret'], timeoutMs: LONG_MS }], after: [] };

    const report = await jobs.run(jobs.job({ hooks }));

    expect(report.failedSteps[0]?.message).toBe(
      `hook "${missing}" before the run: it cannot be started: does not exist (ENOENT)`,
    );
    expect(JSON.stringify(report)).not.toContain('secret');
  });

  it('get no report where there is no folder for its file', async () => {
    jobs.addVms('a');
    const hooks = { before: [], after: [hookOf('true')] };
    vi.stubEnv('TMPDIR', jobs.temp.path('missing'));

    const report = await jobs.run(jobs.job({ hooks })).finally(() => vi.unstubAllEnvs());

    expect(report.failedSteps).toMatchObject([{ step: 'hook', code: 'OUTPUT_IO' }]);
    expect(report.hooks).toEqual([]);
  });
});
