/** `export`: serves the disks of a restore point over NBD. */
import { once } from 'node:events';
import type { Command } from 'commander';
import { EXIT_CODES, UsageError } from '../../core/errors.ts';
import { formatBytes } from '../../core/units.ts';
import type { ServeAddress } from '../../points/pointTypes.ts';
import type { OpenPoint } from '../../points/openRepository.ts';
import { collect, type CommonFlags, withCommonFlags } from '../commonFlags.ts';
import { CommandContext } from '../context.ts';
import { printable } from '../output/text.ts';
import { type SourceFlags, sourceOf, withSource } from './sourceFlags.ts';

interface ExportFlags extends CommonFlags, SourceFlags {
  readonly disk?: readonly string[];
  readonly socket?: string;
  readonly listen?: string;
}

export function addExport(program: Command, done: (exitCode: number) => void): void {
  withSource(withCommonFlags(program.command('export')))
    .description('serve the disks of a restore point over NBD, read-only, until Ctrl-C')
    .option('--vm <name>', 'VM name or id (required with --repo)')
    .option('--point <id>', 'restore point: number, id, its beginning (default: latest)')
    .option('--disk <id>', 'only this disk, by id or name; may be repeated', collect)
    .option('--socket <path>', 'Unix socket to make; only its owner may connect')
    .option('--listen <address>', 'or a port of this machine: 127.0.0.1:10809')
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
  await using opened = await openPoint(flags, command, context);
  const { point } = opened;
  const names = flags.disk ?? [];
  const disks = names.length > 0 ? names.map((name) => point.disk(name)) : point.disks;
  const { signal } = context;
  const onProblem = (text: string): void => context.note('export_problem', text, 'error');
  const server = await point.serveNbd([...new Set(disks)], { address, onProblem, signal });
  const { uris } = server;
  const { vmName, id: pointId, number: pointNumber } = point;
  const text = [
    `${printable(vmName)}: restore point ${pointNumber} (${pointId}), read-only; Ctrl-C ends it`,
    ...uris,
  ].join('\n');
  context.print({ type: 'export', vmName, pointId, pointNumber, uris }, text);
  if (!signal.aborted) await once(signal, 'abort');
  await server.close();
  const { requests, bytes, failures } = server.served;
  const failed = failures > 0 ? `, ${failures} of them failed` : '';
  context.printStep(`served ${requests} requests${failed}, ${formatBytes(bytes)}`);
  return failures > 0 ? EXIT_CODES.doneWithProblems : EXIT_CODES.done;
}

/** The point to serve. Closing the result closes it. */
async function openPoint(
  flags: ExportFlags,
  command: Command,
  { onMessage }: CommandContext,
): Promise<AsyncDisposable & { readonly point: OpenPoint }> {
  const source = sourceOf(flags, command, true);
  if (source.files) {
    const { openFiles } = await import('../../points/openFiles.ts');
    const point = await openFiles(source.files, { vm: flags.vm, onMessage });
    return { point, [Symbol.asyncDispose]: () => point.close() };
  }
  const { openRepository } = await import('../../points/openRepository.ts');
  const repository = await openRepository(source.repository);
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
