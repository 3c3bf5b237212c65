/** A daemon with its console in this process, over a lab. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach } from 'vitest';
import type { LabVm } from '../../../lab/src/index.ts';
import { startConsoleServer } from '../../../src/console/consoleServer.ts';
import { LiveConsole } from '../../../src/console/live/liveConsole.ts';
import { CancelledError } from '../../../src/core/errors.ts';
import { silentLogger } from '../../../src/core/log.ts';
import type { SessionMessage } from '../../../src/core/messages.ts';
import { MIB } from '../../../src/core/units.ts';
import { Daemon } from '../../../src/jobs/daemon/daemon.ts';
import { liveParts } from '../../../src/jobs/daemon/liveParts.ts';
import type { StatusServer } from '../../../src/jobs/daemon/statusServer.ts';
import { BLOCK_BYTES } from '../bytes/images.ts';
import { noise } from '../bytes/random.ts';
import { LAB_TIMINGS } from '../lab/plainLab.ts';
import { type LabBench, useLab } from '../lab/useLab.ts';
import { type TempFolder, useTempFolder } from '../tempFolder.ts';
import { ConsoleClient } from './client.ts';

export const TOKENS = { operator: 'operator-token-1', readOnly: 'readonly-token-1' } as const;

export interface LiveBench {
  readonly bench: LabBench;
  readonly temp: TempFolder;
  readonly client: ConsoleClient;
  readonly reader: ConsoleClient;
  readonly live: LiveConsole;
  readonly messages: readonly SessionMessage[];
  addVm(name: string): LabVm;
  /** Starts the daemon. @param more - lines of the job `nightly`. */
  start(more?: string, repository?: string): Promise<void>;
  /** Stops it in order, as SIGTERM does. */
  stop(): Promise<void>;
  restores(): string;
}

function jobFileText({ lab }: LabBench, more: string, repository: string): string {
  return `
engines:
  lab: { url: '${lab.url}', username: ${lab.username}, passwordFile: password, caFile: ca.pem }
repositories:
  main: ${repository}
stateFolder: state
jobs:
  nightly:
    engine: lab
    repository: main
    vms: { all: true }
    schedule: '0 0 1 1 *'
    timezone: UTC
    backup: { workers: 0, blockSize: ${BLOCK_BYTES} }
    retry: { times: 0 }
    limits: { parallelVms: 1 }
${more}`;
}

interface Running {
  readonly live: LiveConsole;
  readonly server: StatusServer;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/** Gives each test a lab, and a daemon when it starts one. */
export function useLiveConsole(): LiveBench {
  const bench = useLab();
  const temp = useTempFolder();
  const messages: SessionMessage[] = [];
  let running: Running | undefined;

  beforeEach(() => {
    messages.length = 0;
    writeFileSync(temp.path('ca.pem'), bench.lab.caPem);
    writeFileSync(temp.path('password'), `${bench.lab.password}\n`, { mode: 0o600 });
    mkdirSync(temp.path('restores'));
  });
  afterEach(async () => await own.stop());

  const known = (): Running => {
    if (!running) throw new Error('the daemon was not started');
    return running;
  };
  const clientOf = (token: string): ConsoleClient =>
    new ConsoleClient(`http://127.0.0.1:${known().server.port}`, token);
  const own: LiveBench = {
    bench,
    temp,
    messages,
    get client() {
      return clientOf(TOKENS.operator);
    },
    get reader() {
      return clientOf(TOKENS.readOnly);
    },
    get live() {
      return known().live;
    },
    addVm(name) {
      const alias = `${name}_sys`;
      const vm = bench.lab.addVm({ name, disks: [{ name: alias, sizeBytes: MIB }] });
      vm.disk(alias).write(0, noise(name.length, 2 * BLOCK_BYTES));
      return vm;
    },
    async start(more = '', repository = '{ path: repository }') {
      const path = temp.path('jobs.yaml');
      writeFileSync(path, jobFileText(bench, more, repository));
      running = await startDaemon(path, own.restores(), messages);
    },
    async stop() {
      const { live, server, stop, ended } = running ?? {};
      running = undefined;
      stop?.abort(new CancelledError('CANCELLED', 'stopped by SIGTERM'));
      await ended;
      await server?.[Symbol.asyncDispose]();
      await live?.[Symbol.asyncDispose]();
    },
    restores: () => temp.path('restores'),
  };
  return own;
}

async function startDaemon(
  path: string,
  restoreFolder: string,
  messages: SessionMessage[],
): Promise<Running> {
  const stop = new AbortController();
  const { signal } = stop;
  const onMessage = (message: SessionMessage, jobName?: string): void => {
    messages.push(message);
    live.onMessage(message, jobName);
  };
  const live = new LiveConsole({
    daemon: () => daemon,
    restoreFolder,
    logger: silentLogger,
    onMessage: (message) => messages.push(message),
    timings: LAB_TIMINGS,
  });
  const daemon = new Daemon(
    liveParts({
      path,
      signal,
      logger: silentLogger,
      onMessage,
      onNote: () => {},
      watcher: live,
      timings: LAB_TIMINGS,
    }),
  );
  signal.addEventListener('abort', () => live.stopTasks());
  const server = await startConsoleServer({
    address: { host: '127.0.0.1', port: 0 },
    status: {
      health: () => daemon.health,
      metrics: async () => await Promise.resolve(''),
      onFailure: () => {},
    },
    sources: live,
    tokens: TOKENS,
    productVersion: '0.0.0',
    hasRestoreFolder: true,
    onFailure: () => {},
    onRefused: () => {},
    onChange: () => {},
    pageFolder: restoreFolder,
  });
  let ended: Promise<void> = Promise.resolve();
  await new Promise<void>((resolve, reject) => {
    ended = daemon.run(signal, resolve);
    ended.catch(reject);
  });
  return { live, server, stop, ended };
}
