/** `stream`: one disk of a VM to a file or to another program. */
import { type Command, Option } from 'commander';
import { UsageError } from '../../core/errors.ts';
import { formatBytes } from '../../core/units.ts';
import type { StreamFormat, StreamReport } from '../../sessions/pipe/streamDisk.ts';
import { type CommonFlags, parseCount, withCommonFlags } from '../flags/commonFlags.ts';
import { CommandContext } from '../context.ts';
import { type EngineFlags, readEngineSettings, withEngineFlags } from '../flags/engineFlags.ts';
import { leftByStream } from '../leftTexts.ts';
import { createProgressLine, type ProgressLine } from '../output/progress.ts';
import { formatStderrJson } from '../output/formatMessage.ts';
import { printable } from '../output/text.ts';
import { messageOutput } from '../output/standardOutputs.ts';

interface StreamFlags extends CommonFlags, EngineFlags {
  readonly vm: string;
  readonly disk: string;
  readonly since?: string;
  readonly output: string;
  readonly format: StreamFormat;
  readonly journal?: string;
  readonly connections?: number;
  readonly strict?: boolean;
}

export function addStream(program: Command, done: (exitCode: number) => void): void {
  withEngineFlags(withCommonFlags(program.command('stream')))
    .description('read one disk of a VM into a file or another program; no repository is needed')
    .requiredOption('--vm <name>', 'VM by name or id')
    .requiredOption('--disk <id>', 'disk by id or name')
    .requiredOption('--output <file>', 'new file, or - for stdout')
    .option('--since <checkpoint>', 'only changes since this checkpoint of an earlier stream')
    .addOption(
      new Option('--format <format>', 'raw: the whole disk; ndjson: one line per block')
        .choices(['raw', 'ndjson'])
        .default('raw'),
    )
    .option('--strict', 'fail when the engine has lost the checkpoint; warnings give exit code 3')
    .option('--journal <dir>', 'repository that keeps lock and journal (default: a temporary one)')
    .option(
      '--connections <n>',
      'data requests at the same time, 1 to 8 (default: 4)',
      parseCount('--connections'),
    )
    .action(async (flags: StreamFlags) => {
      const context = new CommandContext(flags);
      const line = createProgressLine('stream', context.isJson);
      const work = (): Promise<number> => stream(flags, context, line);
      done(await context.execute(() => work().finally(() => line.stop())));
    });
}

async function stream(
  flags: StreamFlags,
  context: CommandContext,
  line: ProgressLine,
): Promise<number> {
  const toStdout = flags.output === '-';
  if (toStdout && process.stdout.isTTY) throw wouldFillTerminal();
  const { streamDisk } = await import('../../sessions/pipe/streamDisk.ts');
  context.leftText = leftByStream(flags.vm, flags.journal);
  const report = await streamDisk({
    engine: await readEngineSettings(flags, process.env, context.signal),
    vm: flags.vm,
    disk: flags.disk,
    since: flags.since,
    output: toStdout ? process.stdout : flags.output,
    format: flags.format,
    journal: flags.journal,
    connections: flags.connections,
    strict: flags.strict,
    ...context.sessionOptions,
    onProgress: line.onProgress,
  }).finally(() => line.stop());
  const text = formatStream(report);
  if (!toStdout) context.print(report, text);
  // Stdout holds the disk. So the report goes to stderr, where each object is one line.
  else messageOutput.write(`${context.isJson ? formatStderrJson('stream', report) : text}\n`);
  return context.exitCode(flags.strict ?? false);
}

function formatStream(report: StreamReport): string {
  const { vmName, alias, mode, reason, blockBytes, zeroBytes, checkpointId } = report;
  return [
    printable(`${vmName}, disk ${alias}: ${mode} (${reason})`),
    `${formatBytes(blockBytes)} of data, ${formatBytes(zeroBytes)} of zeros`,
    checkpointId
      ? `next stream: --since ${checkpointId}`
      : 'no checkpoint: the next stream reads the whole disk',
  ].join('\n');
}

function wouldFillTerminal(): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', '--output -: stdout is a terminal', {
    hint: 'pipe the stream to another program, or name a file',
  });
}
