/** Resources that work may leave in the process: open files, threads, timers, requests. */
import { readdirSync, readlinkSync } from 'node:fs';

/** Paths below `directory` that this process has open. */
export function openFilesIn(directory: string): string[] {
  return readdirSync('/proc/self/fd')
    .map((descriptor) => {
      try {
        return readlinkSync(`/proc/self/fd/${descriptor}`);
      } catch {
        return '';
      }
    })
    .filter((path) => path.startsWith(directory));
}

/** Kinds of resources that keep the process alive, with their number. */
export function activeResources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

/** Kinds of resources of which there are more than `before`, with the surplus. */
export function newResources(before: ReadonlyMap<string, number>): string[] {
  return [...activeResources()]
    .filter(([kind, count]) => count > (before.get(kind) ?? 0))
    .map(([kind, count]) => `${kind} +${count - (before.get(kind) ?? 0)}`);
}
