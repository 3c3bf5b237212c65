/** Limits that VMs, engines and jobs share; a run that a daemon stops. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { LabVm } from '../../../lab/src/index.ts';
import { MIB } from '../../../src/core/units.ts';
import { EngineGates } from '../../../src/jobs/run/engineGates.ts';
import { exitCodeOfRun } from '../../../src/jobs/run/outcome.ts';
import { StateFolder } from '../../../src/jobs/state/stateFolder.ts';
import { outcomesOf, useJobs } from '../../helpers/jobs/jobBench.ts';
import { OpenBackups } from '../../helpers/jobs/openBackups.ts';
import { limitsOf, stopped } from '../../helpers/jobs/stops.ts';

const jobs = useJobs();

function addOn(storageDomain: string, ...names: readonly string[]): LabVm[] {
  const { lab } = jobs.bench;
  return names.map((name) =>
    lab.addVm({ name, disks: [{ name: `${name}_sys`, sizeBytes: MIB, storageDomain }] }),
  );
}

describe('limits', () => {
  it('of a storage domain hold, while others go on', async () => {
    const data = addOn('data', 'a1', 'a2', 'a3');
    const block = addOn('block', 'b1', 'b2');
    const [ofData, ofBlock, all] = [data, block, [...data, ...block]].map(
      (vms) => new OpenBackups(jobs.bench.lab, vms),
    );

    const report = await jobs.run(jobs.job({ limits: limitsOf(5, 1) }));

    expect(report.outcome).toBe('success');
    expect([ofData?.most, ofBlock?.most, all?.most]).toEqual([1, 1, 2]);
  });

  it('of a host hold, while VMs of others go on', async () => {
    const vms = jobs.addVms('a1', 'b1', 'a2', 'b2');
    const [first, second, all] = [[vms[0], vms[2]], [vms[1], vms[3]], vms].map(
      (some) => new OpenBackups(jobs.bench.lab, some as LabVm[]),
    );

    const report = await jobs.run(jobs.job({ limits: { ...limitsOf(4), perHost: 1 } }));

    expect(report.outcome).toBe('success');
    expect([first?.most, second?.most, all?.most]).toEqual([1, 1, 2]);
  });

  it('of an engine hold over two jobs, which may have the same VM', async () => {
    const backups = new OpenBackups(jobs.bench.lab, jobs.addVms('a', 'b'));
    const engine = { ...jobs.job().engine, parallelVms: 1 };
    const gates = new EngineGates();
    const one = jobs.job({ engine, limits: limitsOf(4) });
    const other = { ...one, name: 'hourly' };

    const reports = await Promise.all([jobs.run(one, { gates }), jobs.run(other, { gates })]);

    expect(reports.map(outcomesOf)).toEqual([
      ['a success', 'b success'],
      ['a success', 'b success'],
    ]);
    expect(backups.most).toBe(1);
    expect((await jobs.list()).map(({ points }) => points.length)).toEqual([2, 2]);
  });
});

describe('a run that is stopped', () => {
  it('by the daemon stays open, and continues with the VMs that are left', async () => {
    jobs.addVms('a', 'b', 'c');
    const job = jobs.job({ limits: limitsOf(1), keep: { last: 2 } });

    const first = await stopped(jobs, job, 'schedule');
    const { openRun, lastRun } = await jobs.state(job);
    const second = await jobs.run(job, { trigger: 'schedule', resume: openRun });

    expect(outcomesOf(first)).toEqual(['a success', 'b notStarted', 'c notStarted']);
    expect(first.prune).toBeUndefined();
    expect([openRun?.runId, openRun?.doneVms, lastRun]).toEqual([
      first.runId,
      [first.vms[0]?.vmId],
      undefined,
    ]);
    expect(outcomesOf(second)).toEqual(['a success', 'b success', 'c success']);
    expect(second.runId).toBe(first.runId);
    expect(second.vms[0]?.report?.pointId).toBe(first.vms[0]?.report?.pointId);
    expect((await jobs.list()).map(({ points }) => points.length)).toEqual([1, 1, 1]);
    expect(await jobs.state(job)).toMatchObject({ lastRun: { outcome: 'success' } });
    expect((await jobs.state(job)).openRun).toBeUndefined();
  });
});

it('is not changed by a state, a history and metrics that cannot be written', async () => {
  jobs.addVms('a');
  const job = jobs.job();
  await jobs.run(job);
  const { path: folder } = await StateFolder.open(jobs.fileOf(job));
  const file = { ...jobs.fileOf(job), metricsFile: jobs.temp.path('no', 'such', 'folder.prom') };
  for (const place of [`${folder}/job-nightly/state.json`, `${job.repository.place}/runs`]) {
    rmSync(place, { recursive: true });
  }
  mkdirSync(`${folder}/job-nightly/state.json`);
  writeFileSync(`${job.repository.place}/runs`, 'no folder');

  const report = await jobs.run(job, { file });

  expect([report.outcome, exitCodeOfRun(report, false)]).toEqual(['success', 0]);
  expect([...new Set(jobs.codes())].toSorted()).toEqual(['JOB-627', 'JOB-628', 'JOB-629']);
  expect(report.messages.map(({ code }) => code)).toEqual(jobs.codes());
});
