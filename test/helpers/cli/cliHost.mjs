/**
 * Runs commands of the compiled command line one after another. Starting Node and loading the
 * modules takes most of the time of a short command. After each command comes the mark of its
 * request on both outputs, and a message with its exit code.
 */
import { once } from 'node:events';
import { executeCommandLine } from '../../../dist/cli/commandLine.js';
import { DEFAULT_TIMINGS } from '../../../dist/ovirt/timings.js';

// The lab is much faster than an engine.
DEFAULT_TIMINGS.pollMinMs = 50;

function setEnvironment(env) {
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
}

process.send('ready');
for (;;) {
  const [{ args, env, mark }] = await once(process, 'message');
  setEnvironment(env);
  const exitCode = await executeCommandLine(args);
  process.stdout.write(mark);
  process.stderr.write(mark);
  process.send({ exitCode });
}
