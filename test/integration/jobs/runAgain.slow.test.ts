/** Several runs of a job against a lab: what they know of each other. */
import { describe, expect, it } from 'vitest';
import { outcomesOf, useJobs } from '../../helpers/jobs/jobBench.ts';
import { Repository } from '../../../src/repository/repository.ts';

const jobs = useJobs();

describe('a run', () => {
  it('tries a VM again that another process had locked', async () => {
    jobs.addVms('a');
    const job = jobs.job({ retry: { times: 1, delayMs: 0 } });
    await jobs.run(job);
    await using repository = await Repository.open(job.repository.place);
    const folder = await repository.requireVm('a');
    const lock = await folder.place.lock();

    const report = await jobs.run(job, {
      clock: {
        now: () => new Date(),
        sleep: async () => await lock[Symbol.asyncDispose](),
      },
    });

    expect(report.vms).toMatchObject([{ outcome: 'success', attempts: 2 }]);
  });
});

describe('the VMs of a job', () => {
  it('that vanish are told once, and their points stay', async () => {
    jobs.addVms('a', 'b');
    await jobs.run(jobs.job());
    const smaller = jobs.job({ vms: { names: ['a'] }, keep: { last: 1 } });

    const second = await jobs.run(smaller);
    const third = await jobs.run(smaller);

    expect([second.vanishedVms, third.vanishedVms]).toEqual([['b'], []]);
    expect(jobs.codes()).toEqual(['JOB-620']);
    expect([second.outcome, third.outcome]).toEqual(['warning', 'success']);
    expect((await jobs.list()).map(({ vmName }) => vmName)).toEqual(['a', 'b']);
  });

  it('that are new are told, but not in the first run', async () => {
    jobs.addVms('a');
    const first = await jobs.run(jobs.job());
    jobs.addVms('b');
    const second = await jobs.run(jobs.job());

    expect([first.newVms, second.newVms]).toEqual([[], ['b']]);
    expect([jobs.codes(), second.outcome]).toEqual([['JOB-626'], 'success']);
  });

  it('are all others in the state when a run is for some only', async () => {
    jobs.addVms('a', 'b');
    const job = jobs.job();
    await jobs.run(job);

    const report = await jobs.run(job, { only: ['b'] });

    expect([outcomesOf(report), report.vanishedVms]).toEqual([['b success'], []]);
    expect((await jobs.state(job)).vms.map(({ vmName }) => vmName)).toEqual(['a', 'b']);
  });
});
