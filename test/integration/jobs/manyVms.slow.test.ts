/** One planner of 2000 VMs: what it asks of the engine, its queue, and its writes of the state. */
import { mkdirSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/core/log.ts';
import { MIB } from '../../../src/core/units.ts';
import type { JobConfig } from '../../../src/jobs/jobFile.ts';
import type { OpenRunner } from '../../../src/jobs/run/runners.ts';
import { planRun } from '../../../src/jobs/run/runPlan.ts';
import { StateFolder } from '../../../src/jobs/state/stateFolder.ts';
import { EngineApi } from '../../../src/ovirt/engine/engineApi.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { useJobs } from '../../helpers/jobs/jobBench.ts';
import { goodVm } from '../../helpers/jobs/runs.ts';
import { limitsOf } from '../../helpers/jobs/stops.ts';

const VMS = 2000;
const HOSTS = 40;
const LIMITS = { ...limitsOf(200, 1000), perHost: 2 };

const jobs = useJobs({ hosts: HOSTS });

beforeEach(() => {
  for (let k = 0; k < VMS; k++) {
    const name = `vm${String(k).padStart(4, '0')}`;
    jobs.bench.lab.addVm({ name, disks: [{ name: `${name}_sys`, sizeBytes: MIB }] });
  }
});

/** Requests to the engine below its API, since there were `before`. */
function requestsSince(before: number): string[] {
  const paths = jobs.bench.lab.requests.slice(before).map(({ path }) => path);
  return paths.filter((path) => path.includes('/api/'));
}

/** Sessions that end in their turn, without an engine. */
class QuickSessions {
  readonly #hosts = new Map<string, string>();
  readonly #running = new Map<string, number>();
  started: string[] = [];
  mostAtOnce = 0;
  mostOfHost = 0;
  #atOnce = 0;

  constructor(hosts: ReadonlyMap<string, string>) {
    this.#hosts = new Map(hosts);
  }

  readonly open: OpenRunner = async () => ({
    backup: async ({ label, vmId }) => await this.#session(label, vmId),
    [Symbol.asyncDispose]: async () => {},
  });

  async #session(label: string, vmId: string): Promise<SessionReport> {
    const host = this.#hosts.get(vmId) ?? '';
    this.started.push(label);
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#atOnce);
    const ofHost = (this.#running.get(host) ?? 0) + 1;
    this.#running.set(host, ofHost);
    this.mostOfHost = Math.max(this.mostOfHost, ofHost);
    await new Promise((resolve) => setImmediate(resolve));
    this.#running.set(host, (this.#running.get(host) ?? 0) - 1);
    this.#atOnce--;
    return goodVm(label, vmId).report as SessionReport;
  }
}

async function hostsOf(job: JobConfig): Promise<Map<string, string>> {
  await using engine = await EngineApi.connect(jobs.bench.settings());
  const signal = new AbortController().signal;
  const tools = { past: [], only: undefined, signal, logger: silentLogger, onMessage: () => {} };
  const { vms } = await planRun(engine, job, tools);
  return new Map(vms.map(({ vmId, hostId }) => [vmId, hostId ?? '']));
}

describe('a run of 2000 VMs', () => {
  it('asks the engine for its plan with some thirty requests', async () => {
    const before = jobs.bench.lab.requests.length;
    const hosts = await hostsOf(jobs.job({ limits: LIMITS }));

    expect([hosts.size, new Set(hosts.values()).size]).toEqual([VMS, HOSTS]);
    const requests = requestsSince(before);
    expect(requests.filter((path) => path.includes('diskattachments'))).toEqual([]);
    // Pages of 500 for the VMs, of 100 with disks; each list ends with an empty page.
    expect(requests.length).toBeLessThanOrEqual(VMS / 500 + 1 + VMS / 100 + 1);
  });

  it('starts each once within the limits, and writes its state for many VMs at once', async () => {
    const job = jobs.job({ limits: LIMITS });
    const sessions = new QuickSessions(await hostsOf(job));
    mkdirSync(jobs.temp.path('main'));
    const state = await StateFolder.open(jobs.fileOf(job));
    let updates = 0;
    const counted = {
      lockJob: async (name: string) => await state.lockJob(name),
      read: async (name: string) => await state.read(name),
      readAll: async () => await state.readAll(),
      update: async (...given: Parameters<StateFolder['update']>) => {
        updates++;
        return await state.update(...given);
      },
    };
    const before = jobs.bench.lab.requests.length;

    const report = await jobs.run(job, { openRunner: sessions.open, state: counted });

    expect(report.outcome).toBe('success');
    expect([report.vms.length, new Set(sessions.started).size, sessions.started.length]).toEqual([
      VMS,
      VMS,
      VMS,
    ]);
    expect([sessions.mostAtOnce, sessions.mostOfHost]).toEqual([2 * HOSTS, 2]);
    expect(updates).toBeLessThan(VMS / 4);
    expect((await state.read(job.name)).vms).toHaveLength(VMS);
    expect(requestsSince(before).length).toBeLessThan(VMS / 50);
  });
});
