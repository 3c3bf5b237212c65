/** CPU time of child processes that start and end at any time: servers of the rig. */
import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts CPU time in ticks of 10 ms on every common platform. */
const TICKS_PER_SECOND = 100;
const SAMPLE_EVERY_MS = 25;

export interface ProcessStat {
  readonly name: string;
  readonly parent: number;
  readonly cpuSeconds: number;
  /** Of its processes that have ended. */
  readonly endedCpuSeconds: number;
}

/**
 * Reads the `stat` file of a process or a thread. The name may hold blanks, so fields are counted
 * after it: 0 is the state, 1 the parent, 11 user time, 12 system time, 13 and 14 those of
 * children.
 */
export function readStat(file: string): ProcessStat | undefined {
  try {
    const text = readFileSync(file, 'utf8');
    const end = text.lastIndexOf(')');
    const fields = text.slice(end + 2).split(' ');
    return {
      name: text.slice(text.indexOf('(') + 1, end),
      parent: Number(fields[1]),
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
      endedCpuSeconds: (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND,
    };
  } catch {
    // It ended after the folder was listed.
    return undefined;
  }
}

export class CpuWatch {
  readonly #isMeant: (name: string) => boolean;
  readonly #before = new Map<string, number>();
  readonly #latest = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  /** @param isMeant - selects children by program name, of which the kernel keeps 15 characters */
  constructor(isMeant: (name: string) => boolean) {
    this.#isMeant = isMeant;
    this.#sample();
    for (const [pid, seconds] of this.#latest) this.#before.set(pid, seconds);
    this.#timer = setInterval(() => this.#sample(), SAMPLE_EVERY_MS);
  }

  /** CPU seconds since the start. The last milliseconds of a child may be missing. */
  stop(): number {
    clearInterval(this.#timer);
    this.#sample();
    let sum = 0;
    for (const [pid, seconds] of this.#latest) sum += seconds - (this.#before.get(pid) ?? 0);
    return sum;
  }

  #sample(): void {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const stat = readStat(`/proc/${pid}/stat`);
      if (stat && stat.parent === process.pid && this.#isMeant(stat.name)) {
        this.#latest.set(pid, stat.cpuSeconds);
      }
    }
  }
}
