/** Options of `daemon` for its pages, and the server that they describe. */
import path from 'node:path';
import type { Command } from 'commander';
import { toFailure, UsageError } from '../../../core/errors.ts';
import { packageVersion } from '../../../core/installation.ts';
import type { MessageLevel } from '../../../core/messages.ts';
import type { WorkerRow } from '../../../console/contract.ts';
import type { LiveConsole } from '../../../console/live/liveConsole.ts';
import type { Daemon } from '../../../jobs/daemon/daemon.ts';
import type { ListenAddress, StatusServer } from '../../../jobs/daemon/statusServer.ts';
import type { CommandContext } from '../../context.ts';

export interface ConsoleFlags {
  readonly listen?: string;
  readonly tokenFile?: string;
  readonly readOnlyTokenFile?: string;
  readonly restoreFolder?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

type Note = (text: string, level: MessageLevel, fields: object) => void;

export interface PagesOptions {
  readonly flags: ConsoleFlags;
  readonly context: CommandContext;
  /** Absolute path of the job file. */
  readonly jobFile: string;
  readonly daemon: () => Daemon;
  readonly onNote: Note;
  /** Processes of the fleet. */
  readonly workers?: (() => Promise<readonly WorkerRow[]>) | undefined;
}

/** The pages of a daemon. The console watches its runs, so it is made before the daemon. */
export interface Pages {
  readonly live: LiveConsole;
  /** @throws {@link UsageError} `USAGE_INVALID_OPTION`, `TOOL_MISSING` */
  start(): Promise<StartedPages>;
}

export interface StartedPages extends AsyncDisposable {
  /** Where the pages are, for people. */
  readonly text: string;
}

/** Credentials that systemd may give to the unit. */
const CREDENTIALS = { operator: 'console-token', readOnly: 'console-read-only-token' } as const;
const NEED_LISTEN = [
  'tokenFile',
  'readOnlyTokenFile',
  'restoreFolder',
  'tlsCert',
  'tlsKey',
] as const;

export function withConsoleFlags(command: Command): Command {
  return command
    .option(
      '--listen <address>',
      'serve the console, /metrics and /healthz there, such as 127.0.0.1:8484',
    )
    .option('--token-file <file>', 'token of operators; without it one is made in the state folder')
    .option('--read-only-token-file <file>', 'token of users who see all and change nothing')
    .option('--restore-folder <dir>', 'users of the console may restore disks to files in it')
    .option('--tls-cert <file>', 'certificate in PEM; needed where others can reach the address')
    .option('--tls-key <file>', 'its key in PEM');
}

function misuse(message: string, hint: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', message, { hint });
}

function checkFlags(flags: ConsoleFlags): void {
  const alone = NEED_LISTEN.find((name) => flags[name] !== undefined);
  if (flags.listen === undefined && alone !== undefined) {
    const option = `--${alone.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    throw misuse(`${option} without --listen`, 'for example: --listen 127.0.0.1:8484');
  }
  if ((flags.tlsCert === undefined) === (flags.tlsKey === undefined)) return;
  throw misuse('--tls-cert and --tls-key belong together', 'give both files, in PEM');
}

/**
 * Reads the options. Undefined without `--listen`.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`
 */
export async function preparePages(options: PagesOptions): Promise<Pages | undefined> {
  const { flags, context, daemon } = options;
  checkFlags(flags);
  if (flags.listen === undefined) return undefined;
  const { parseListen } = await import('../../../jobs/daemon/statusServer.ts');
  const { LiveConsole } = await import('../../../console/live/liveConsole.ts');
  const address = parseListen(flags.listen, flags.tlsCert !== undefined);
  const { restoreFolder } = flags;
  const live = new LiveConsole({
    daemon,
    restoreFolder: restoreFolder === undefined ? undefined : path.resolve(restoreFolder),
    logger: context.logger,
    onMessage: context.onMessage,
    workers: options.workers,
  });
  return { live, start: async () => await startPages(options, live, address) };
}

async function startPages(
  options: PagesOptions,
  live: LiveConsole,
  address: ListenAddress,
): Promise<StartedPages> {
  const { startConsoleServer } = await import('../../../console/consoleServer.ts');
  const { flags, onNote } = options;
  const tls = await readTls(options);
  const { tokens, text: tokenText } = await tokensOf(options);
  try {
    const server = await startConsoleServer({
      address,
      status: await statusOf(options),
      tls,
      sources: live,
      tokens,
      productVersion: packageVersion(),
      hasRestoreFolder: flags.restoreFolder !== undefined,
      onFailure: (error) => onNote(`console: ${toFailure(error).message}`, 'error', {}),
      onRefused: (from) => onNote(`console: a wrong token from ${from}`, 'warn', { from }),
      onChange: ({ route, path: place, address: from }) =>
        onNote(`console: ${route} ${place} from ${from}`, 'info', { route, place, from }),
    });
    const scheme = tls ? 'https' : 'http';
    const url = `${scheme}://${hostText(address)}:${server.port}`;
    return started(server, `${url}/metrics; console: ${url}/${tokenText}`);
  } catch (error) {
    const failure = toFailure(error);
    if (failure.code !== 'TOOL_MISSING' || tls) throw failure;
    return await startStatus(options, address, failure);
  }
}

function started(server: StatusServer, text: string): StartedPages {
  return { text, [Symbol.asyncDispose]: async () => await server[Symbol.asyncDispose]() };
}

function hostText({ host }: ListenAddress): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** Without the optional packages the daemon has no console. Jobs run all the same. */
async function startStatus(
  options: PagesOptions,
  address: ListenAddress,
  { message, hint }: { readonly message: string; readonly hint: string },
): Promise<StartedPages> {
  const { startStatusServer } = await import('../../../jobs/daemon/statusServer.ts');
  options.onNote(`there is no console: ${message}; run: ${hint}`, 'warn', {});
  const server = await startStatusServer({ address, sources: await statusOf(options) });
  return started(server, `http://${hostText(address)}:${server.port}/metrics`);
}

async function statusOf({ daemon, onNote }: PagesOptions) {
  const { formatMetrics } = await import('../../../jobs/metrics/formatMetrics.ts');
  return {
    health: () => daemon().health,
    metrics: async () => formatMetrics(await daemon().states(), new Date()),
    onFailure: (error: unknown) => onNote(`/metrics: ${toFailure(error).message}`, 'error', {}),
  };
}

async function readTls({ flags: { tlsCert, tlsKey }, context }: PagesOptions) {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const { readTlsFiles } = await import('../../../console/access/consoleFiles.ts');
  return await readTlsFiles(tlsCert, tlsKey, context.signal);
}

/** Tokens of the options, of systemd, or a made one; and where people find a made one. */
async function tokensOf({ flags, context, jobFile }: PagesOptions) {
  const { readTokens } = await import('../../../console/access/consoleFiles.ts');
  const { findCredential } = await import('../../../jobs/config/secrets.ts');
  const { signal } = context;
  const operator = flags.tokenFile ?? findCredential(CREDENTIALS.operator);
  const readOnly = flags.readOnlyTokenFile ?? findCredential(CREDENTIALS.readOnly);
  if (operator !== undefined || readOnly !== undefined) {
    return { tokens: await readTokens({ operator, readOnly }, signal), text: '' };
  }
  const made = await makeToken(jobFile, context);
  return { tokens: await readTokens({ operator: made }, signal), text: ` (token in ${made})` };
}

async function makeToken(jobFile: string, { signal }: CommandContext): Promise<string> {
  const { readJobFile } = await import('../../../jobs/config/readJobFile.ts');
  const { StateFolder } = await import('../../../jobs/state/stateFolder.ts');
  const { madeTokenFile } = await import('../../../console/access/madeToken.ts');
  const states = await StateFolder.open(await readJobFile(jobFile, signal));
  return await madeTokenFile(states.path);
}
