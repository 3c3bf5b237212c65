/** Busy shares of the threads of this process, by what they do. Needs the preload threadProbe. */
import { readdirSync, readFileSync } from 'node:fs';
import { performance, type EventLoopUtilization } from 'node:perf_hooks';
import { readStat } from './cpuWatch.ts';

/** CPU seconds of each thread of this process, by thread id. */
function threadSeconds(): Map<string, number> {
  const ids = readdirSync('/proc/self/task');
  return new Map(
    ids.flatMap((id) => {
      const stat = readStat(`/proc/self/task/${id}/stat`);
      return stat ? [[id, stat.cpuSeconds]] : [];
    }),
  );
}

export interface ThreadGroup {
  readonly name: string;
  readonly threads: number;
  /** Sum over the threads of the group, divided by the wall time. */
  readonly busyShare: number;
}

export interface ThreadTimes {
  /** CPU seconds by thread id. */
  readonly before: ReadonlyMap<string, number>;
  readonly after: ReadonlyMap<string, number>;
  readonly wallSeconds: number;
}

/**
 * Groups threads by name. A thread without a name is libuv's: it started after V8's own threads,
 * and it is no worker thread.
 *
 * @param names - lines "TID NAME"
 */
export function groupThreads(names: string, times: ThreadTimes): ThreadGroup[] {
  const { before, after, wallSeconds } = times;
  const nameOf = new Map(names.split('\n').map((line) => splitAtBlank(line)));
  const groups = new Map<string, { threads: number; seconds: number }>();
  for (const [id, seconds] of after) {
    const name = nameOf.get(id) ?? 'libuv';
    const group = groups.get(name) ?? { threads: 0, seconds: 0 };
    group.threads++;
    group.seconds += seconds - (before.get(id) ?? 0);
    groups.set(name, group);
  }
  return [...groups].map(([name, { threads, seconds }]) => ({
    name,
    threads,
    busyShare: seconds / wallSeconds,
  }));
}

function splitAtBlank(line: string): [string, string] {
  const at = line.indexOf(' ');
  return [line.slice(0, at), line.slice(at + 1)];
}

/** From `start` to `stop`. The threads must still run at the end. */
export class ThreadWatch {
  readonly #namesFile: string;
  #before = new Map<string, number>();
  #loop: EventLoopUtilization | undefined;
  #startedAtMs = 0;

  constructor(namesFile: string) {
    this.#namesFile = namesFile;
  }

  start(): void {
    this.#before = threadSeconds();
    this.#loop = performance.eventLoopUtilization();
    this.#startedAtMs = performance.now();
  }

  /** The first group is the event loop of the main thread: its active time, waits for a CPU too. */
  stop(): ThreadGroup[] {
    const wallSeconds = (performance.now() - this.#startedAtMs) / 1000;
    const { utilization } = performance.eventLoopUtilization(this.#loop);
    const times = { before: this.#before, after: threadSeconds(), wallSeconds };
    const names = readFileSync(this.#namesFile, 'utf8');
    const loop = { name: 'main, event loop active', threads: 1, busyShare: utilization };
    return [loop, ...groupThreads(names, times)];
  }
}
