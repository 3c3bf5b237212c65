/** Commands of a fleet as processes: with short times, each on a machine of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { FleetTimings } from '../../../src/fleet/timings.ts';
import type { OvirtTimings } from '../../../src/ovirt/timings.ts';
import type { LockTimes } from '../../../src/store/lockLease.ts';
import { childrenOf } from './fleetBench.ts';

const PROGRAM = fileURLToPath(new URL('fleetCommand.mjs', import.meta.url));
const TIMES = new URL('commandTimes.mjs', import.meta.url).href;

export interface CommandTimes {
  readonly fleet: Partial<FleetTimings>;
  readonly engine: Partial<OvirtTimings>;
  readonly locks: LockTimes;
}

/** A command in a group of processes of its own. */
export class FleetCommand {
  readonly ended: Promise<number | null>;
  /** What it has printed to both outputs. */
  output = '';
  readonly #child: ChildProcess;

  /** @param hostName - of its machine. */
  constructor(args: readonly string[], hostName: string, times: CommandTimes) {
    this.#child = spawn(process.execPath, [PROGRAM, ...args], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
      env: {
        ...process.env,
        NODE_OPTIONS: `--import=${TIMES}`,
        TEST_COMMAND: JSON.stringify({ hostName, ...times }),
      },
    });
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      output?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }
    this.ended = new Promise((resolve) => this.#child.once('close', (code) => resolve(code)));
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Ids of the processes that it has started. */
  get children(): readonly number[] {
    return this.isRunning ? childrenOf(this.#child.pid ?? 0) : [];
  }

  /** As systemd stops it. */
  async stop(): Promise<number | null> {
    this.#child.kill('SIGTERM');
    return await this.ended;
  }

  /** Kills the command alone. Its processes notice it. */
  killAlone(): void {
    this.#child.kill('SIGKILL');
  }

  /** Kills the command and its processes, as the loss of its machine. */
  killAll(): void {
    try {
      process.kill(-(this.#child.pid ?? 0), 'SIGKILL');
    } catch {
      // The whole group has ended.
    }
  }
}
