/** `ovirt-cbt daemon` as a process of a test. */
import { setTimeout as wait } from 'node:timers/promises';
import type { RunningCli } from '../cli/cli.ts';

interface Line {
  readonly type: string;
  readonly code?: string;
  readonly text?: string;
}

/** A daemon, and the lines that it has printed with --json. */
export class DaemonProcess {
  readonly running: RunningCli;
  readonly lines: Line[] = [];
  #rest = '';

  constructor(running: RunningCli) {
    this.running = running;
    running.child.stderr?.on('data', (text: string) => this.#read(text));
  }

  has(part: string): boolean {
    return this.lines.some(({ code, text }) => code === part || text?.includes(part));
  }

  async line(part: string): Promise<void> {
    while (!this.has(part)) {
      if (this.running.child.exitCode !== null) throw new Error(JSON.stringify(this.lines));
      await wait(20);
    }
  }

  async stop(signal: NodeJS.Signals): Promise<number | null> {
    this.running.child.kill(signal);
    return (await this.running.ended).exitCode;
  }

  #read(text: string): void {
    const parts = `${this.#rest}${text}`.split('\n');
    this.#rest = parts.pop() ?? '';
    this.lines.push(...parts.map((part) => JSON.parse(part) as Line));
  }
}
