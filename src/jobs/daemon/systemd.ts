/**
 * Tells systemd that the daemon is ready, works and stops. Node has no datagram sockets of the file
 * system, so the program `systemd-notify` sends the messages. The unit needs NotifyAccess=all.
 */
import { execFile } from 'node:child_process';
import { errnoOf } from '../../core/errors.ts';
import type { Environment } from '../state/stateFolder.ts';

const PROGRAM = 'systemd-notify';
const TIMEOUT_MS = 10_000;

export interface SystemdOptions {
  readonly environment: Environment;
  readonly pid: number;
  /** Whether the daemon still works. Without that, systemd gets no sign of life and restarts it. */
  readonly isAlive: () => boolean;
  /** Told once, when a message could not be sent. */
  readonly onFailure: (text: string) => void;
}

/** Time between two signs of life; undefined when systemd waits for none of this process. */
export function watchdogMs(environment: Environment, pid: number): number | undefined {
  const { WATCHDOG_USEC: limit, WATCHDOG_PID: owner } = environment;
  const limitMs = Number(limit) / 1000;
  const isOurs = owner === undefined || owner === String(pid);
  return isOurs && limitMs > 0 ? Math.max(100, limitMs / 3) : undefined;
}

export class SystemdNotifier implements Disposable {
  readonly #options: SystemdOptions;
  #timer: NodeJS.Timeout | undefined;
  #hasFailed = false;

  constructor(options: SystemdOptions) {
    this.#options = options;
  }

  /** The daemon is ready. Signs of life are sent from now on. */
  async ready(): Promise<void> {
    const { environment, pid, isAlive } = this.#options;
    await this.#send('READY=1', 'STATUS=waits for the next job');
    const everyMs = watchdogMs(environment, pid);
    if (everyMs === undefined) return;
    this.#timer = setInterval(() => {
      if (isAlive()) void this.#send('WATCHDOG=1');
    }, everyMs);
    this.#timer.unref();
  }

  async stopping(): Promise<void> {
    await this.#send('STOPPING=1', 'STATUS=waits for open sessions');
  }

  /** Ends the signs of life. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #send(...assignments: readonly string[]): Promise<void> {
    const { environment, onFailure } = this.#options;
    const { NOTIFY_SOCKET: socket, PATH: path } = environment;
    if (!socket) return;
    await new Promise<void>((resolve) => {
      const options = { timeout: TIMEOUT_MS, env: { NOTIFY_SOCKET: socket, PATH: path } };
      execFile(PROGRAM, assignments, options, (error) => {
        if (error && !this.#hasFailed) {
          this.#hasFailed = true;
          const reason = errnoOf(error) === 'ENOENT' ? 'it is not installed' : error.message.trim();
          onFailure(`${PROGRAM} failed: ${reason}; systemd may end this daemon`);
        }
        resolve();
      });
    });
  }
}
