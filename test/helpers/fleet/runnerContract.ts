/** What every runner of sessions has to do, wherever it runs them. */
import { describe, expect, it } from 'vitest';
import type { BackupError } from '../../../src/core/errors.ts';
import type { JobConfig, JobFile } from '../../../src/jobs/jobFile.ts';
import type { RunOptions } from '../../../src/jobs/run/conductRun.ts';
import { openLocalRunner, type OpenRunner } from '../../../src/jobs/run/runners.ts';
import type { RunReport } from '../../../src/jobs/runReport.ts';
import { type JobBench, outcomesOf } from '../jobs/jobBench.ts';
import { OpenBackups } from '../jobs/openBackups.ts';
import { HOLDING_TIMINGS } from './fleetBench.ts';
import { holdReads } from './heldReads.ts';

export interface RunnerHarness {
  readonly jobs: JobBench;
  /** Writes the job file. @param job - keys of the job, added to the usual ones. */
  writeJobs(job?: object): string;
  readJob(): Promise<{ file: JobFile; job: JobConfig }>;
  /** The runner that is tested. Called once in a test. */
  openRunner(): Promise<OpenRunner>;
}

/** Keys and types of a value. Numbers and texts themselves do not count. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shapeOf);
  if (typeof value !== 'object' || value === null) return typeof value;
  const entries = Object.entries(value).filter(([, one]) => one !== undefined);
  return Object.fromEntries(entries.map(([key, one]) => [key, shapeOf(one)]));
}

/** Only the error of a fleet names the worker. */
function factsOf({ name, code, message, hint, retryable }: BackupError): unknown {
  return [name, code, message.replace(/^worker [^ ]+: /, ''), hint, retryable];
}

/** A runner that remembers the errors of its sessions. */
function remembering(open: OpenRunner, errors: BackupError[]): OpenRunner {
  return async (request) => {
    const runner = await open(request);
    return {
      backup: async (vm, call) =>
        await runner.backup(vm, call).catch((error: BackupError) => {
          errors.push(error);
          throw error;
        }),
      [Symbol.asyncDispose]: async () => await runner[Symbol.asyncDispose](),
    };
  };
}

export function describeRunner(title: string, harness: RunnerHarness): void {
  const { jobs } = harness;
  const run = async (
    openRunner: OpenRunner,
    more: Partial<RunOptions> = {},
  ): Promise<RunReport> => {
    const { file, job } = await harness.readJob();
    return await jobs.run(job, { file, openRunner, timings: HOLDING_TIMINGS, ...more });
  };
  const runLocally = async (more: Partial<RunOptions> = {}): Promise<RunReport> => {
    const { file, job } = await harness.readJob();
    const other = { ...job, repository: jobs.repositoryOf('other') };
    const own = { file, openRunner: openLocalRunner, newRepository: true };
    return await jobs.run(other, { ...own, ...more });
  };

  describe(title, () => {
    it('gives the report that a session in this process gives', async () => {
      jobs.addVms('web01');
      const [result] = (await run(await harness.openRunner())).vms;
      const [local] = (await runLocally()).vms;

      expect(result).toMatchObject({ vmName: 'web01', outcome: 'success', attempts: 1 });
      expect(shapeOf(result)).toEqual(shapeOf(local));
      const [vm] = await jobs.list();
      expect(vm?.points.map(({ pointId }) => pointId)).toEqual([result?.report?.pointId]);
    });

    it('passes messages and progress on', async () => {
      const [vm] = jobs.addVms('web01');
      const openRunner = await harness.openRunner();
      await run(openRunner);
      vm?.revertSnapshot('removed');
      jobs.events.length = 0;
      const [result] = (await run(openRunner)).vms;

      expect(jobs.codes()).toEqual(['CBT-103']);
      expect(result?.report?.messages.map(({ code }) => code)).toEqual(['CBT-103']);
      expect(jobs.events.at(0)).toMatchObject({
        type: 'phase',
        phase: 'preparing',
        vmName: 'web01',
      });
      expect(jobs.events.at(-1)).toMatchObject({
        type: 'ended',
        result: 'done',
        vmId: vm?.id,
        sessionId: result?.report?.sessionId,
      });
      const types = jobs.events.map(({ type }) => type);
      expect(types).toEqual(expect.arrayContaining(['disksPlanned', 'diskStarted', 'diskEnded']));
    });

    it('fails with the error that a session in this process fails with', async () => {
      const [vm] = jobs.addVms('web01');
      if (vm) vm.status = 'paused';
      const [errors, local]: [BackupError[], BackupError[]] = [[], []];
      const report = await run(remembering(await harness.openRunner(), errors));
      await runLocally({ openRunner: remembering(openLocalRunner, local) });

      expect(outcomesOf(report)).toEqual(['web01 failure']);
      expect(local).toHaveLength(1);
      expect(errors.map(factsOf)).toEqual(local.map(factsOf));
      expect(errors[0]).toBeInstanceOf(local[0]?.constructor);
    });

    it('frees the VM when its session is cancelled', async () => {
      const [vm] = jobs.addVms('web01');
      const openRunner = await harness.openRunner();
      const stop = new AbortController();
      const held = holdReads(jobs.bench.lab, vm, 1);
      const report = await run(openRunner, {
        signal: stop.signal,
        onProgress: (event) => {
          if (event.type === 'diskStarted') stop.abort();
        },
      });
      held.release();

      expect(report.vms).toMatchObject([{ outcome: 'failure', failure: { code: 'CANCELLED' } }]);
      expect(jobs.bench.lab.leftovers()).toEqual([]);
      expect(outcomesOf(await run(openRunner))).toEqual(['web01 success']);
    });

    it('runs several VMs at once', async () => {
      const vms = jobs.addVms('a', 'b', 'c');
      const backups = new OpenBackups(jobs.bench.lab, vms);
      const holds = vms.map((vm) => holdReads(jobs.bench.lab, vm, 1));
      const releaseAll = (): void => {
        if (holds.every(({ count }) => count > 0)) for (const hold of holds) hold.release();
      };
      const watch = setInterval(releaseAll, 10);
      const report = await run(await harness.openRunner()).finally(() => clearInterval(watch));

      expect(outcomesOf(report)).toEqual(['a success', 'b success', 'c success']);
      expect(backups.most).toBe(3);
    });

    it('repeats a VM, and each attempt is a session of its own', async () => {
      harness.writeJobs({ retry: { times: 1, delay: '1s' } });
      const [vm] = jobs.addVms('web01');
      const path = new RegExp(`/vms/${vm?.id}/backups(\\?|$)`);
      const refusal = { status: 400, body: { reason: 'Operation Failed', detail: 'not now' } };
      jobs.bench.lab.faults.add({ method: 'POST', path, times: 1 }, refusal);
      const report = await run(await harness.openRunner());

      expect(report.vms).toMatchObject([{ outcome: 'success', attempts: 2 }]);
      const ends = jobs.events.flatMap((event) => (event.type === 'ended' ? event.result : []));
      expect(ends).toEqual(['failed', 'done']);
    });
  });
}
