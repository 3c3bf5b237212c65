/** The contract of runners: sessions in this process, and sessions of a fleet. */
import { openLocalRunner } from '../../../src/jobs/run/runners.ts';
import { useFleet } from '../../helpers/fleet/fleetBench.ts';
import { describeRunner } from '../../helpers/fleet/runnerContract.ts';

const bench = useFleet();
const common = {
  jobs: bench.jobs,
  readJob: async () => await bench.readJob(),
  writeJobs: (job?: object) => bench.writeJobs(job),
};

describeRunner('a runner in this process', {
  ...common,
  openRunner: async () => await Promise.resolve(openLocalRunner),
});

describeRunner('a runner over a queue', {
  ...common,
  openRunner: async () => {
    await bench.startWorker();
    return (await bench.openFleet()).openRunner;
  },
});
