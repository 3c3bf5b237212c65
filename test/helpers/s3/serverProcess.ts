/**
 * A program that serves while this process lives. A shell watches a pipe from this process. When
 * the pipe ends, also because this process was killed, it kills the program and deletes its folder.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 20;
const START_LIMIT_MS = 60_000;

// A job in the background has no standard input, so the pipe gets a descriptor of its own.
const WATCHED = `
exec 3<&0 0</dev/null
(read -r _ <&3; kill -KILL $$ 2>/dev/null; rm -rf "$SERVER_FOLDER") &
exec 3<&-
exec "$@"`;

export interface ServerProgram {
  /** For messages. */
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Its own folder, which is deleted at the end. */
  readonly folder: string;
}

export class ServerProcess {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #output = '';

  constructor({ name, program, args, env, folder }: ServerProgram) {
    this.#name = name;
    this.#child = spawn('/bin/sh', ['-c', WATCHED, name, program, ...args], {
      env: { ...process.env, ...env, SERVER_FOLDER: folder },
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    this.#child.stderr?.on('data', (text) => (this.#output += String(text)));
    this.#closed = new Promise((resolve) => this.#child.once('close', resolve));
    this.#letGo();
  }

  /** What it wrote to its standard error. */
  get output(): string {
    return this.#output;
  }

  /**
   * @returns the first value of `look` that is defined.
   * @throws an Error when the program ends. Its folder is deleted then.
   */
  async waitFor<T>(look: () => Promise<T | undefined> | T | undefined): Promise<T> {
    const startedAtMs = performance.now();
    for (;;) {
      const found = await look();
      if (found !== undefined) return found;
      const hasEnded = this.#child.exitCode !== null || this.#child.signalCode !== null;
      if (hasEnded || performance.now() - startedAtMs > START_LIMIT_MS) {
        await this.close();
        throw new Error(`${this.#name} does not start: ${this.#output}`);
      }
      await sleep(POLL_MS);
    }
  }

  /** Returns when the program has ended and its folder is deleted. */
  async close(): Promise<void> {
    // Nothing else may keep this process alive until then.
    const alive = setInterval(() => {}, POLL_MS);
    this.#child.stdin?.end();
    await this.#closed;
    clearInterval(alive);
  }

  /** The process of the tests may end before its servers. */
  #letGo(): void {
    this.#child.unref();
    for (const pipe of [this.#child.stdin, this.#child.stderr])
      (pipe as { unref?: () => void } | null)?.unref?.();
  }
}
