/** The plan of a run: hosts and storage domains of its VMs, and what it asks the engine. */
import { describe, expect, it } from 'vitest';
import { MIB } from '../../../src/core/units.ts';
import { silentLogger } from '../../../src/core/log.ts';
import type { JobConfig } from '../../../src/jobs/jobFile.ts';
import { planRun, type RunPlan } from '../../../src/jobs/run/runPlan.ts';
import { EngineApi } from '../../../src/ovirt/engine/engineApi.ts';
import { useJobs } from '../../helpers/jobs/jobBench.ts';
import { limitsOf } from '../../helpers/jobs/stops.ts';

const jobs = useJobs({ hosts: 3 });

/** Adds VMs, of which each second one has its disk on the domain `block`. */
function addVms(count: number, status: 'up' | 'down' = 'up'): void {
  for (let k = 0; k < count; k++) {
    const name = `vm${String(k).padStart(3, '0')}`;
    const storageDomain = k % 2 === 0 ? 'data' : 'block';
    const disks = [{ name: `${name}_sys`, sizeBytes: MIB, storageDomain }];
    jobs.bench.lab.addVm({ name, status, disks });
  }
}

async function plan(more: Partial<JobConfig>): Promise<{ plan: RunPlan; requests: string[] }> {
  const { lab } = jobs.bench;
  await using engine = await EngineApi.connect(jobs.bench.settings());
  const before = lab.requests.length;
  const made = await planRun(engine, jobs.job(more), {
    past: [],
    only: undefined,
    signal: new AbortController().signal,
    logger: silentLogger,
    onMessage: (message) => jobs.messages.push(message),
  });
  const requests = lab.requests.slice(before).map(({ path }) => path.split('/api')[1] ?? '');
  return { plan: made, requests };
}

function domainCounts({ vms }: RunPlan): number[] {
  const counts = new Map<string, number>();
  for (const id of vms.flatMap(({ domainIds }) => domainIds)) {
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return [...counts.values()];
}

describe('hosts', () => {
  it('come with the list of VMs', async () => {
    addVms(6);
    const { plan: made, requests } = await plan({ limits: { ...limitsOf(2), perHost: 1 } });

    expect(new Set(made.vms.map(({ hostId }) => hostId)).size).toBe(3);
    expect(made.vms[0]?.hostId).toBe(made.vms[3]?.hostId);
    expect([requests.length, jobs.codes()]).toEqual([2, []]);
  });

  it('that the engine hides are told where a limit needs them', async () => {
    addVms(2);
    jobs.bench.lab.behaviour.hidesHosts = true;
    const hidden = await plan({});
    expect([hidden.plan.vms[0]?.hostId, jobs.codes()]).toEqual([undefined, []]);

    await plan({ limits: { ...limitsOf(2), perHost: 1 } });

    expect(jobs.codes()).toEqual(['JOB-650']);
  });

  it('are no matter where all VMs are down', async () => {
    addVms(2, 'down');
    await plan({ limits: { ...limitsOf(2), perHost: 1 } });

    expect(jobs.codes()).toEqual([]);
  });
});

describe('storage domains', () => {
  const limits = limitsOf(2, 1);

  it('are not asked for without a limit that needs them', async () => {
    addVms(3);

    expect(domainCounts((await plan({})).plan)).toEqual([]);
  });

  it('of most VMs come with pages of the list, and no request is for one VM', async () => {
    addVms(250);
    const { plan: made, requests } = await plan({ limits });

    expect(domainCounts(made)).toEqual([125, 125]);
    expect(requests.filter((path) => path.includes('diskattachments'))).toEqual([]);
    // The VMs in one page, their disks in three; each list ends with an empty page.
    expect(requests).toHaveLength(2 + 4);
  });

  it('of a few VMs are asked for one by one', async () => {
    addVms(50);
    const { plan: made, requests } = await plan({ vms: { names: ['vm00*'] }, limits });

    expect(domainCounts(made)).toEqual([5, 5]);
    expect(requests.filter((path) => path.includes('diskattachments'))).toHaveLength(10);
  });

  it('are found where the engine follows no links', async () => {
    addVms(4);
    jobs.bench.lab.behaviour.followFails = true;

    expect(domainCounts((await plan({ limits })).plan)).toEqual([2, 2]);
  });

  it('are found where the list with disks fails', async () => {
    addVms(4);
    const request = { server: 'engine', method: 'GET', path: /vms\?.*follow=/ } as const;
    jobs.bench.lab.faults.add(request, { status: 400 });

    expect(domainCounts((await plan({ limits })).plan)).toEqual([2, 2]);
  });
});
