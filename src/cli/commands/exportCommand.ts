/** `export`: serves the disks of a restore point over NBD. */
import { once } from 'node:events';
import type { Command } from 'commander';
import { EXIT_CODES, UsageError } from '../../core/errors.ts';
import type { DiskServer, ServeAddress } from '../../points/pointTypes.ts';
import { collect, type CommonFlags, repoOption, withCommonFlags } from '../commonFlags.ts';
import { CommandContext } from '../context.ts';
import { countsText, overlayText, showCounts } from '../output/progress/exportCounts.ts';
import { printable } from '../output/text.ts';

interface ExportFlags extends CommonFlags {
  readonly repo: string;
  readonly vm: string;
  readonly point: string;
  readonly disk?: readonly string[];
  readonly socket?: string;
  readonly listen?: string;
  readonly writable?: string;
  readonly keep?: boolean;
  readonly tls?: string;
}

export function addExport(program: Command, done: (exitCode: number) => void): void {
  withCommonFlags(program.command('export'))
    .description('serve the disks of a restore point over NBD until Ctrl-C')
    .addOption(repoOption())
    .requiredOption('--vm <name>', 'VM name or id')
    .option('--point <id>', 'restore point: number, id, its beginning, or latest', 'latest')
    .option('--disk <id>', 'only this disk, by id or name; may be repeated', collect)
    .option('--socket <path>', 'Unix socket to make; only its owner may connect')
    .option('--listen <address>', 'or a port of this machine: 127.0.0.1:10809')
    .option('--writable <folder>', 'clients may write; what they write lies in this folder')
    .option('--keep', 'keep what clients wrote, and continue it the next time')
    .option('--tls <folder>', 'ca-cert.pem, server-cert.pem, server-key.pem: all clients use TLS')
    .action(async (flags: ExportFlags) => {
      const context = new CommandContext(flags);
      done(await context.execute(() => serve(flags, context)));
    });
}

/** Serves until the command is stopped, which is its regular end. */
async function serve(flags: ExportFlags, context: CommandContext): Promise<number> {
  context.stopText = 'closing the exports';
  const address = addressOf(flags);
  const writable = writableOf(flags);
  const tls = flags.tls === undefined ? undefined : { folder: flags.tls };
  const { openRepository } = await import('../../points/openRepository.ts');
  await using repository = await openRepository(flags.repo);
  const point = await repository.point(flags.vm, flags.point);
  const names = flags.disk ?? [];
  const disks = names.length > 0 ? names.map((name) => point.disk(name)) : point.disks;
  const { signal } = context;
  const onProblem = (text: string): void => context.note('export_problem', text, 'error');
  const options = { address, writable, tls, onProblem, signal };
  const server = await point.serveNbd([...new Set(disks)], options);
  const { uris } = server;
  const { vmName, id: pointId, number: pointNumber } = point;
  const how = writable ? `writable, in ${writable.folder}` : 'read-only';
  const text = [
    `${printable(vmName)}: restore point ${pointNumber} (${pointId}), ${printable(how)}; Ctrl-C ends it`,
    ...uris,
  ].join('\n');
  context.print({ type: 'export', vmName, pointId, pointNumber, uris }, text);
  const counts = showCounts(server.served, context.isJson);
  if (!signal.aborted) await once(signal, 'abort');
  counts.stop();
  try {
    await server.close();
  } finally {
    printEnd(server, context);
  }
  return server.served.failures > 0 ? EXIT_CODES.doneWithProblems : EXIT_CODES.done;
}

function printEnd({ served, overlays }: DiskServer, context: CommandContext): void {
  const lines = [`served ${countsText(served)}`, ...overlays.map(overlayText)];
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
