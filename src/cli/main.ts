import { executeCommandLine } from './commandLine.ts';

// When a reader closes the pipe early (`| head`), the command continues without output.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}
process.exitCode = await executeCommandLine(process.argv.slice(2));
