/** CPU time of children of this process that come and go: servers, started by the rig, not by the cases. */
import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts in ticks of 10 ms on every common platform. */
const TICKS_PER_SECOND = 100;
const LOOK_EVERY_MS = 25;

/** Fields of /proc/PID/stat behind the name, which may hold blanks: state is field 0, parent 1, user 11, system 12. */
function readStat(pid: string): { name: string; parent: number; cpuSeconds: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const end = text.lastIndexOf(')');
    const fields = text.slice(end + 2).split(' ');
    return {
      name: text.slice(text.indexOf('(') + 1, end),
      parent: Number(fields[1]),
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    };
  } catch {
    // It has ended since the folder was listed.
    return undefined;
  }
}

export class CpuWatch {
  readonly #isMeant: (name: string) => boolean;
  readonly #before = new Map<string, number>();
  readonly #latest = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  /** @param isMeant - by the name of the program, of which the kernel keeps 15 characters. */
  constructor(isMeant: (name: string) => boolean) {
    this.#isMeant = isMeant;
    this.#look();
    for (const [pid, seconds] of this.#latest) this.#before.set(pid, seconds);
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  /** CPU seconds since the start; what a child used in its last milliseconds may be missing. */
  stop(): number {
    clearInterval(this.#timer);
    this.#look();
    let sum = 0;
    for (const [pid, seconds] of this.#latest) sum += seconds - (this.#before.get(pid) ?? 0);
    return sum;
  }

  #look(): void {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const stat = readStat(pid);
      if (stat && stat.parent === process.pid && this.#isMeant(stat.name)) {
        this.#latest.set(pid, stat.cpuSeconds);
      }
    }
  }
}
