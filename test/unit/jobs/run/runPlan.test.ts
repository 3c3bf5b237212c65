/** The VMs of a run, compared with those of earlier runs. */
import { describe, expect, it } from 'vitest';
import { compareWithPast, onlyThese } from '../../../../src/jobs/run/runPlan.ts';
import type { QueuedVm } from '../../../../src/jobs/run/vmQueue.ts';

function vmOf(vmName: string, vmId = `id-of-${vmName}`): QueuedVm {
  return { label: vmName, vmName, vmId, domainIds: [], hostId: undefined };
}

describe('compareWithPast', () => {
  it('tells VMs that are gone and VMs that are new, by their ids', () => {
    const past = [vmOf('web01'), vmOf('old-name', 'id-1'), vmOf('db01')];
    const now = [vmOf('web01', 'another-id'), vmOf('new-name', 'id-1')];

    expect(compareWithPast(now, past)).toEqual({
      vanishedVms: ['web01', 'db01'],
      newVms: ['web01'],
    });
  });

  it('goes by the name where an id is unknown', () => {
    expect(compareWithPast([vmOf('web01', '')], [vmOf('web01')])).toEqual({
      vanishedVms: [],
      newVms: [],
    });
  });

  it('calls no VM new in the first run', () => {
    expect(compareWithPast([vmOf('web01')], []).newVms).toEqual([]);
  });
});

describe('onlyThese', () => {
  const vms = ['db01', 'web01', 'web02'].map((name) => vmOf(name));

  it('chooses by name, id and pattern, in the order of the job', () => {
    const chosen = onlyThese(vms, ['web*', 'id-of-db01', 'web01'], 'nightly');

    expect(chosen.map(({ vmName }) => vmName)).toEqual(['db01', 'web01', 'web02']);
    expect(onlyThese(vms, undefined, 'nightly')).toBe(vms);
  });

  it('refuses a name that the job does not select', () => {
    expect(() => onlyThese(vms, ['wbe01'], 'nightly')).toThrow(
      expect.objectContaining({
        code: 'USAGE_NOT_FOUND',
        message: '"wbe01" fits no VM that job nightly selects',
        hint: expect.stringContaining('did you mean "web01"?') as string,
      }),
    );
  });
});
