/** A guestfish process that executes commands one after the other. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { OutputError, toFailure, UsageError } from '../../core/errors.ts';
import { MAX_LINE_BYTES } from './guestfishLanguage.ts';

/** Time for guestfish to end its appliance. Then it is killed. */
const STOP_MS = 15_000;
const STOP_AGAIN_MS = 500;
/** Most lines of stderr in the text of an error. */
const ERROR_LINES = 3;
/** guestfish passes this descriptor on to the programs of its pipes. */
const DATA_FD = 3;

export interface GuestfishOptions {
  /** Private folder for temporary files of the appliance. The caller deletes it. */
  readonly folder: string;
  readonly signal: AbortSignal;
  /** Gets what guestfish writes to stderr: errors, and more with LIBGUESTFS_DEBUG=1. */
  readonly onStderr: (text: string) => void;
}

/**
 * guestfish ignores SIGINT, and the appliance below it does not. So guestfish sees its appliance
 * end, and removes its temporary files.
 */
const START = "trap '' INT; exec guestfish";
/** Exit codes of a shell that cannot start a program. */
const NOT_STARTED = [126, 127];

/** The backend of libvirt runs the appliance as another user, who cannot open a private socket. */
function environment(folder: string): NodeJS.ProcessEnv {
  return {
    LIBGUESTFS_BACKEND: 'direct',
    ...process.env,
    LIBGUESTFS_TMPDIR: folder,
    LC_ALL: 'C',
  };
}

export class Guestfish {
  /** Bytes that commands write with {@link toData}. */
  readonly data: Readable;
  readonly #child: ChildProcess;
  readonly #stdin: Writable;
  readonly #signal: AbortSignal;
  readonly #onStderr: GuestfishOptions['onStderr'];
  /** A file: what guestfish has written to it before a mark is there when the mark arrives. */
  readonly #stderrFd: number;
  #stderrAt = 0;
  #stdout = '';
  #hasEnded = false;
  #isOpen = true;
  #wake: (() => void) | undefined;
  readonly #ended: Promise<void>;

  private constructor(child: ChildProcess, stderrFd: number, options: GuestfishOptions) {
    const { signal, onStderr } = options;
    const [stdin, stdout, , data] = child.stdio;
    this.#child = child;
    this.#stdin = stdin as Writable;
    this.data = data as Readable;
    this.#stderrFd = stderrFd;
    this.#signal = signal;
    this.#onStderr = onStderr;
    // A process that has ended takes no commands. The end is seen below.
    this.#stdin.on('error', () => {});
    this.data.on('error', () => {});
    (stdout as Readable).setEncoding('latin1').on('data', (text: string) => {
      this.#stdout += text;
      this.#wakeUp();
    });
    const onEnd = (): void => {
      this.#hasEnded = true;
      this.data.destroy();
      this.#wakeUp();
    };
    // It rejects when there is no shell.
    this.#ended = once(child, 'exit').then(onEnd, onEnd);
    signal.addEventListener('abort', this.#interrupt);
  }

  /** @throws {@link UsageError} `TOOL_MISSING` */
  static async start(options: GuestfishOptions): Promise<Guestfish> {
    const { folder } = options;
    const stderrFd = openSync(path.join(folder, 'stderr'), 'wx+', 0o600);
    // A group of its own: Ctrl-C must reach this program alone.
    const child = spawn('/bin/sh', ['-c', START], {
      detached: true,
      env: environment(folder),
      stdio: ['pipe', 'pipe', stderrFd, 'pipe'],
    });
    const fish = new Guestfish(child, stderrFd, options);
    try {
      await fish.run('echo');
    } catch (error) {
      await fish.close();
      throw NOT_STARTED.includes(child.exitCode ?? 0) ? missing(error) : error;
    }
    return fish;
  }

  /** The end of a command whose output, named `-`, goes to {@link data}. */
  static readonly toData: string = `| cat >&${DATA_FD}`;

  /**
   * Executes a command.
   *
   * @param line - the command with quoted arguments, bytes as latin1.
   * @returns what it printed, bytes as latin1.
   * @throws {@link OutputError} `TOOL_FAILED` with the words of guestfish; {@link CancelledError}
   */
  async run(line: string): Promise<string> {
    if (line.length > MAX_LINE_BYTES) {
      throw new UsageError('USAGE_INVALID_OPTION', 'the path of a file is too long for guestfish', {
        hint: 'get the folder above it',
      });
    }
    const mark = randomUUID();
    // After a command with "-" guestfish goes on, also when the command has failed.
    this.#stdin.write(`-${line}\necho ${mark}\n`, 'latin1');
    const output = await this.#textUntil(`${mark}\n`);
    const complaint = complaintIn(this.#newStderr());
    if (complaint !== undefined) throw failed(complaint);
    return output;
  }

  /** Ends guestfish and its appliance. May be called twice. */
  async close(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#interrupt);
    this.#stdin.end();
    const isStopped = this.#signal.aborted;
    // The appliance may not be there yet at the first signal.
    const again = setInterval(() => isStopped && this.#kill('SIGINT'), STOP_AGAIN_MS);
    const tooLong = setTimeout(() => this.#kill('SIGKILL'), STOP_MS);
    await this.#ended;
    clearInterval(again);
    clearTimeout(tooLong);
    this.data.destroy();
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#newStderr();
    closeSync(this.#stderrFd);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Ends the appliance, and so the command that runs. */
  readonly #interrupt = (): void => {
    this.#stdin.end();
    this.#kill('SIGINT');
    this.#wakeUp();
  };

  #kill(name: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (this.#hasEnded || pid === undefined) return;
    try {
      process.kill(-pid, name);
    } catch {
      // It has ended just now.
    }
  }

  async #textUntil(mark: string): Promise<string> {
    for (;;) {
      if (this.#signal.aborted) throw toFailure(this.#signal.reason, this.#signal);
      const at = this.#stdout.indexOf(mark);
      if (at >= 0) {
        const text = this.#stdout.slice(0, at);
        this.#stdout = this.#stdout.slice(at + mark.length);
        return text;
      }
      if (this.#hasEnded) {
        const last = this.#newStderr().trim().split('\n').slice(-ERROR_LINES).join('; ');
        throw failed(last || 'it ended without a message');
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #newStderr(): string {
    const bytes = Buffer.alloc(fstatSync(this.#stderrFd).size - this.#stderrAt);
    readSync(this.#stderrFd, bytes, 0, bytes.length, this.#stderrAt);
    this.#stderrAt += bytes.length;
    const text = bytes.toString('utf8');
    if (text !== '') this.#onStderr(text);
    return text;
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

/** The errors in new lines of stderr. Other lines are warnings, or wanted by LIBGUESTFS_DEBUG. */
function complaintIn(stderr: string): string | undefined {
  const errors = [...stderr.matchAll(/^(?:.*libguestfs: error|guestfish): (.*)$/gm)];
  if (errors.length === 0) return undefined;
  return errors
    .slice(0, ERROR_LINES)
    .map(([, text = '']) => text.replace(/\.$/, ''))
    .join('; ');
}

function missing(cause: unknown): UsageError {
  return new UsageError('TOOL_MISSING', 'guestfish cannot be started', {
    cause,
    hint: 'install it (Debian: packages guestfish and linux-image-amd64; RHEL, Fedora: libguestfs and guestfs-tools); docs/mount.md has other ways to the files',
  });
}

function failed(text: string): OutputError {
  return new OutputError('TOOL_FAILED', `guestfish: ${text}`, {
    hint: 'run it again with LIBGUESTFS_DEBUG=1 and --log-level debug; docs/mount.md has other ways',
  });
}
