/** The ovirt-imageio daemon of the installed Python package: TLS on a port of 127.0.0.1, control over a unix socket. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import path from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabAuthority } from '../../lab/src/dataPlane.ts';

const START_TIMEOUT_MS = 20_000;
const POLL_MS = 20;
/** After this the daemon answers 409 when an operation still runs on a ticket. */
const REMOVE_TIMEOUT_SECONDS = 5;

export interface DaemonOptions {
  /** Holds the daemon's files; short, because socket paths are. */
  readonly folder: string;
  /** Virtual environment with ovirt-imageio. */
  readonly venv: string;
  readonly authority: LabAuthority;
  /** Name of the abstract socket for clients of the same host. */
  readonly localSocket?: string | undefined;
}

export interface ControlAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** A port that was free a moment ago. */
async function findPort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

function section(
  name: string,
  values: Readonly<Record<string, string | number | boolean>>,
): string {
  const lines = Object.entries(values).map(([key, value]) => `${key} = ${value}`);
  return [`[${name}]`, ...lines, ''].join('\n');
}

export class ImageioDaemon {
  readonly port: number;
  readonly #options: DaemonOptions;
  #child: ChildProcess | undefined;

  private constructor(options: DaemonOptions, port: number) {
    this.#options = options;
    this.port = port;
  }

  static async start(options: DaemonOptions): Promise<ImageioDaemon> {
    const daemon = new ImageioDaemon(options, await findPort());
    daemon.#configure();
    await daemon.start();
    return daemon;
  }

  get logPath(): string {
    return path.join(this.#options.folder, 'daemon.log');
  }

  get #controlSocket(): string {
    return path.join(this.#options.folder, 'control');
  }

  async start(): Promise<void> {
    const { folder, venv } = this.#options;
    const program = path.join(venv, 'bin', 'ovirt-imageio');
    const args = ['--conf-dir', path.join(folder, 'conf')];
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    let complaint = '';
    child.stderr.on('data', (piece) => (complaint += String(piece)));
    const startedAtMs = performance.now();
    while ((await this.#tryControl()) === undefined) {
      const isLate = performance.now() - startedAtMs > START_TIMEOUT_MS;
      if (child.exitCode === null && !isLate) await sleep(POLL_MS);
      else throw new Error(`ovirt-imageio: ${complaint}${this.#readLog()}`);
    }
  }

  /** @param signal - SIGKILL for a crash. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }

  /** One request to the control socket, as vdsm makes them. */
  async control(method: string, where: string, body?: object): Promise<ControlAnswer> {
    const sent = body === undefined ? '' : JSON.stringify(body);
    const headers = { 'content-length': Buffer.byteLength(sent), connection: 'close' };
    const options = { socketPath: this.#controlSocket, method, path: where, headers };
    const asked = request({ ...options, agent: false });
    asked.end(sent);
    const [answer] = await once(asked, 'response');
    const text = await textOf(answer);
    let parsed: unknown = { text };
    if (text.startsWith('{')) parsed = JSON.parse(text);
    return { status: answer.statusCode, body: parsed as ControlAnswer['body'] };
  }

  async #tryControl(): Promise<ControlAnswer | undefined> {
    return await this.control('GET', '/tickets/none').catch(() => undefined);
  }

  #readLog(): string {
    return existsSync(this.logPath) ? readFileSync(this.logPath, 'utf8') : '';
  }

  #configure(): void {
    const { folder, authority, localSocket } = this.#options;
    const place = (name: string): string => path.join(folder, name);
    const { keyPem, certPem } = authority.issue();
    writeFileSync(place('ca.pem'), authority.caPem);
    writeFileSync(place('cert.pem'), certPem);
    writeFileSync(place('key.pem'), keyPem);
    mkdirSync(place('conf/conf.d'), { recursive: true });
    const text = [
      section('daemon', {
        poll_interval: 0.1,
        run_dir: folder,
        drop_privileges: false,
        systemd_enable: false,
      }),
      section('tls', {
        enable: true,
        key_file: place('key.pem'),
        cert_file: place('cert.pem'),
        ca_file: place('ca.pem'),
      }),
      section('remote', { host: '127.0.0.1', port: this.port }),
      section(
        'local',
        localSocket === undefined
          ? { enable: false }
          : { enable: true, socket: `\0${localSocket}` },
      ),
      section('control', {
        transport: 'unix',
        socket: this.#controlSocket,
        remove_timeout: REMOVE_TIMEOUT_SECONDS,
      }),
      section('logger_root', { level: 'DEBUG' }),
      section('handler_logfile', {
        keyword__class: 'logging.FileHandler',
        args: `("${this.logPath}",)`,
        kwargs: '{}',
      }),
    ];
    writeFileSync(place('conf/conf.d/50-lab.conf'), text.join('\n'));
  }
}
