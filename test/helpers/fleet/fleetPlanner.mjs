/** A run of a job as the daemon starts it, in a process of its own that a test may kill. */
import { silentLogger } from '../../../dist/core/log.js';
import { openFleet } from '../../../dist/fleet/planner/fleet.js';
import { readJobFile } from '../../../dist/jobs/config/readJobFile.js';
import { conductRun } from '../../../dist/jobs/run/conductRun.js';
import { StateFolder } from '../../../dist/jobs/state/stateFolder.js';

const stop = new AbortController();
const tell = (type) => (value) => process.send({ type, value });
process.on('SIGTERM', () => stop.abort());
process.on('disconnect', () => process.exit(1));

async function run({ url, path, timings, engineTimings, resume }) {
  const { signal } = stop;
  const common = { signal, logger: silentLogger, onMessage: tell('message') };
  const fleet = await openFleet({ url }, { ...common, timings });
  const file = await readJobFile(path);
  const report = await conductRun({
    ...common,
    file,
    job: file.jobs.get('nightly'),
    trigger: 'schedule',
    resume,
    state: await StateFolder.open(file),
    openRunner: fleet.openRunner,
    timings: engineTimings,
    onProgress: tell('progress'),
  });
  await fleet[Symbol.asyncDispose]();
  process.send({ type: 'report', report }, () => process.exit(0));
}

process.once('message', (options) => void run(options));
