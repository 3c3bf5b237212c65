/**
 * The ovirt-imageio daemon of the installed Python package. It serves TLS on a port of 127.0.0.1.
 * Tickets are managed over its control socket, a unix socket.
 */
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import path from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import type { LabAuthority } from '../../../lab/src/dataPlane.ts';
import { closeServer, listenLocally, ServerProgram } from '../servers.ts';

const START_TIMEOUT_MS = 20_000;
/** The daemon waits this long for operations on a removed ticket. Then it answers 409. */
const REMOVE_TIMEOUT_SECONDS = 5;

export interface DaemonOptions {
  /** Holds the daemon's files. The path must be short: socket paths are limited to 107 bytes. */
  readonly folder: string;
  /** Python's virtual environment with ovirt-imageio. */
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
  const port = await listenLocally(server);
  await closeServer(server);
  return port;
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
  #program: ServerProgram | undefined;

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
    this.#program = new ServerProgram(program, args);
    try {
      await this.#program.waitUntil(() => this.#isUp(), START_TIMEOUT_MS);
    } catch (error) {
      throw new Error(`${String(error)}${this.#readLog()}`, { cause: error });
    }
  }

  /** @param signal - SIGKILL for a crash */
  async stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const program = this.#program;
    this.#program = undefined;
    await program?.stop(signal);
  }

  /** Sends one request to the control socket, as vdsm does. */
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

  async #isUp(): Promise<boolean> {
    return await this.control('GET', '/tickets/none').then(
      () => true,
      () => false,
    );
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
