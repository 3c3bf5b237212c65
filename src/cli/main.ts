import { executeCommandLine } from './commandLine.ts';
import { guardOutputs, messageOutput, resultOutput } from './output/standardOutputs.ts';

guardOutputs();
process.exitCode = await executeCommandLine(process.argv.slice(2));
const areRead = await Promise.all([resultOutput.settled(), messageOutput.settled()]);
// Without this, a reader that never reads would keep the process alive for ever.
if (areRead.includes(false)) process.exit();
