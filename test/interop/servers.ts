/** Servers of the tests: sockets on 127.0.0.1, and programs that serve until they are stopped. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Server } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 10;

/** Listens on any free port. @returns the port */
export async function listenLocally(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

export async function closeServer(server: Server): Promise<void> {
  server.close();
  await once(server, 'close');
}

/** A program that serves. Its standard error becomes a part of error messages. */
export class ServerProgram {
  readonly #name: string;
  readonly #child: ChildProcess;
  #complaint = '';

  constructor(program: string, args: readonly string[]) {
    this.#name = path.basename(program);
    this.#child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child.stderr?.on('data', (text) => (this.#complaint += String(text)));
  }

  /** @throws an Error when the program ends, or when `timeoutMs` pass, before `isUp` */
  async waitUntil(isUp: () => boolean | Promise<boolean>, timeoutMs: number): Promise<void> {
    const startedAtMs = performance.now();
    while (!(await isUp())) {
      const isLate = performance.now() - startedAtMs > timeoutMs;
      if (this.#hasEnded || isLate) throw new Error(`${this.#name}: ${this.#complaint}`);
      await sleep(POLL_MS);
    }
  }

  /** Returns when the program has ended. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    if (this.#hasEnded) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill(signal);
    await exited;
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }
}
