/**
 * Counts the bytes that imageio has served, by disk. Operations that did not complete do not count.
 */
import type { LabTraffic } from '../types.ts';

class DiskCounter extends Map<string, number> {
  count(diskId: string, bytes: number): void {
    this.set(diskId, (this.get(diskId) ?? 0) + bytes);
  }
}

export class LabTrafficMeter implements LabTraffic {
  readonly readBytes: DiskCounter = new DiskCounter();
  readonly writtenBytes: DiskCounter = new DiskCounter();
  readonly zeroedBytes: DiskCounter = new DiskCounter();
  readonly #countOpen: () => number;
  #maxConnections = 0;

  /** @param countOpen - number of connections to tickets that are open now */
  constructor(countOpen: () => number) {
    this.#countOpen = countOpen;
  }

  get openConnections(): number {
    return this.#countOpen();
  }

  get maxConnections(): number {
    return this.#maxConnections;
  }

  sawConnections(count: number): void {
    this.#maxConnections = Math.max(this.#maxConnections, count);
  }

  reset(): void {
    this.readBytes.clear();
    this.writtenBytes.clear();
    this.zeroedBytes.clear();
    this.#maxConnections = 0;
  }
}
