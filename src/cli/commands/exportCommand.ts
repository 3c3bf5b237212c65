/** `export`: serves the disks of a restore point over NBD. */
import { once } from 'node:events';
import { type Command, Option } from 'commander';
import { EXIT_CODES, UsageError } from '../../core/errors.ts';
import type { OpenPoint } from '../../points/openPoint.ts';
import type { DiskServer, ServeAddress } from '../../points/pointTypes.ts';
import {
  collect,
  type CommonFlags,
  parseSize,
  withCommonFlags,
  workersOption,
} from '../flags/commonFlags.ts';
import { CommandContext } from '../context.ts';
import {
  countsText,
  overlayLines,
  showCounts,
  startLines,
} from '../output/progress/exportCounts.ts';
import { type SourceFlags, sourceOf, withSource } from '../flags/sourceFlags.ts';

interface ExportFlags extends CommonFlags, SourceFlags {
  readonly disk?: readonly string[];
  readonly socket?: string;
  readonly listen?: string;
  readonly memory?: number;
  readonly workers?: number;
  readonly writable?: string;
  readonly keep?: boolean;
  readonly tls?: string;
}

export function addExport(program: Command, done: (exitCode: number) => void): void {
  withSource(withCommonFlags(program.command('export')))
    .description('serve the disks of a restore point over NBD until Ctrl-C')
    .option('--vm <name>', 'VM name or id (required with --repo)')
    .option('--point <id>', 'restore point: number, id, its beginning (default: latest)')
    .option('--disk <id>', 'only this disk, by id or name; may be repeated', collect)
    .option('--socket <path>', 'Unix socket to make; only its owner may connect')
    .option('--listen <address>', 'or a port of this machine: 127.0.0.1:10809')
    .addOption(
      new Option('--memory <size>', 'memory for expanded blocks (default: 64MiB)').argParser(
        parseSize('--memory'),
      ),
    )
    .addOption(workersOption())
    .option('--writable <folder>', 'clients may write; what they write lies in this folder')
    .option('--keep', 'keep what clients wrote, and continue it the next time')
    .option('--tls <folder>', 'ca-cert.pem, server-cert.pem, server-key.pem: all clients use TLS')
    .action(async (flags: ExportFlags, command: Command) => {
      const context = new CommandContext(flags);
      done(await context.execute(() => serve(flags, command, context)));
    });
}

/** Serves until the command is stopped, which is its regular end. */
async function serve(
  flags: ExportFlags,
  command: Command,
  context: CommandContext,
): Promise<number> {
  context.stopText = 'closing the exports';
  const address = addressOf(flags);
  const writable = writableOf(flags);
  const tls = flags.tls === undefined ? undefined : { folder: flags.tls };
  await using opened = await openPoint(flags, command, context);
  const { point } = opened;
  const { chooseDisks } = await import('../../points/openPoint.ts');
  const disks = chooseDisks(point, flags.disk ?? []);
  const { signal, onMessage } = context;
  const onProblem = (text: string): void => context.note('export_problem', text, 'error');
  const options = { address, writable, tls, onProblem, onMessage, signal };
  const server = await point.serveNbd(disks, options);
  const { uris } = server;
  const { vmName, id: pointId, number: pointNumber } = point;
  const pointName = `${vmName}: restore point ${pointNumber} (${pointId})`;
  const text = [...startLines(pointName, writable, server.overlays), ...uris].join('\n');
  context.print({ type: 'export', vmName, pointId, pointNumber, uris }, text);
  const counts = showCounts(server.served, context.isJson);
  if (!signal.aborted) await once(signal, 'abort');
  counts.stop();
  try {
    await server.close();
  } finally {
    printEnd(server, point, flags.file !== undefined, context);
  }
  return server.served.failures > 0 ? EXIT_CODES.doneWithProblems : context.exitCode(false);
}

function printEnd(
  { served, overlays }: DiskServer,
  { number }: OpenPoint,
  isOfFiles: boolean,
  context: CommandContext,
): void {
  const lines = [`served ${countsText(served)}`, ...overlayLines(overlays, number, isOfFiles)];
  if (context.isJson) {
    context.note('export_summary', lines.join('; '), undefined, { ...served, overlays });
  } else for (const line of lines) context.printStep(line);
}

function writableOf({
  writable,
  keep,
}: ExportFlags): { readonly folder: string; readonly keep: boolean } | undefined {
  if (writable !== undefined) return { folder: writable, keep: keep ?? false };
  if (!keep) return undefined;
  throw new UsageError('USAGE_INVALID_OPTION', '--keep without --writable', {
    hint: '--writable names the folder in which the writes of clients are kept',
  });
}

/** The point to serve. Closing the result closes it. */
async function openPoint(
  flags: ExportFlags,
  command: Command,
  { onMessage, signal, onStatus }: CommandContext,
): Promise<AsyncDisposable & { readonly point: OpenPoint }> {
  const source = sourceOf(flags, command, true);
  const options = { workers: flags.workers, cacheBytes: flags.memory };
  if (source.files) {
    const { openFiles } = await import('../../points/openFiles.ts');
    const point = await openFiles(source.files, { ...options, vm: flags.vm, onMessage });
    return { point, [Symbol.asyncDispose]: () => point.close() };
  }
  const { openRepository } = await import('../../points/openRepository.ts');
  const repository = await openRepository(source.repository, {
    ...options,
    store: { ...source.store, signal, onWait: onStatus },
  });
  try {
    const point = await repository.point(flags.vm ?? '', flags.point);
    return { point, [Symbol.asyncDispose]: () => repository.close() };
  } catch (error) {
    await repository.close();
    throw error;
  }
}

function addressOf({ socket, listen }: ExportFlags): ServeAddress {
  if ((socket === undefined) === (listen === undefined)) {
    throw new UsageError('USAGE_INVALID_OPTION', 'give either --socket or --listen', {
      hint: '--socket PATH for this machine, or --listen 127.0.0.1:10809',
    });
  }
  if (socket !== undefined) return { socket };
  const match = /^(.+):(\d{1,5})$/.exec(listen ?? '');
  const port = Number(match?.[2]);
  if (match?.[1] === undefined || port > 65_535) {
    throw new UsageError('USAGE_INVALID_OPTION', `--listen: "${listen}" is not HOST:PORT`, {
      hint: 'for example: 127.0.0.1:10809',
    });
  }
  return { host: match[1].replace(/^\[(.*)\]$/, '$1'), port };
}
