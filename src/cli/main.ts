/** Entry of the command line. */
import { runCommandLine } from './commandLine.ts';

// A reader that closes the pipe early (`| head`) ends the output, not the command.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}
process.exitCode = await runCommandLine(process.argv.slice(2));
