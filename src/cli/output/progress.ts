/**
 * Progress line on a terminal: share done, read rate, time left. Without a terminal there is no
 * line.
 */
import { Presets, SingleBar } from 'cli-progress';
import { formatBytes, formatDuration } from '../../core/units.ts';
import type { DiskProgress } from '../../sessions/shared/progress.ts';

const INTERVAL_MS = 250;

export interface ProgressLine {
  addDisk(disk: DiskProgress): void;
  stop(): void;
}

const noLine: ProgressLine = { addDisk: () => {}, stop: () => {} };

class TerminalLine implements ProgressLine {
  readonly #disks: DiskProgress[] = [];
  readonly #startedAtMs = performance.now();
  readonly #bar: SingleBar;
  readonly #timer: NodeJS.Timeout;

  constructor(verb: string) {
    const format = `${verb} {bar} {percentage}% | {done} of {size} | read {rate}/s | {left} left`;
    this.#bar = new SingleBar(
      { format, stream: process.stderr, hideCursor: true, clearOnComplete: true },
      Presets.shades_classic,
    );
    this.#bar.start(100, 0, { done: '0 B', size: '?', rate: '?', left: '?' });
    this.#timer = setInterval(() => this.#update(), INTERVAL_MS);
    this.#timer.unref();
  }

  addDisk(disk: DiskProgress): void {
    this.#disks.push(disk);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#bar.stop();
  }

  #update(): void {
    const sum = (pick: (disk: DiskProgress) => number): number =>
      this.#disks.reduce((total, disk) => total + pick(disk), 0);
    const doneBytes = sum((disk) => disk.doneBytes());
    const sizeBytes = sum((disk) => disk.sizeBytes);
    const elapsedMs = performance.now() - this.#startedAtMs;
    const bytesPerSecond = (sum((disk) => disk.readBytes()) / elapsedMs) * 1000;
    const leftMs = doneBytes > 0 ? (elapsedMs * (sizeBytes - doneBytes)) / doneBytes : undefined;
    this.#bar.update(sizeBytes > 0 ? Math.min(100, Math.round((doneBytes / sizeBytes) * 100)) : 0, {
      done: formatBytes(doneBytes),
      size: formatBytes(sizeBytes),
      rate: formatBytes(bytesPerSecond),
      left: leftMs === undefined ? '?' : formatDuration(leftMs),
    });
  }
}

/** A progress line; it does nothing with --json or without a terminal. */
export function createProgressLine(verb: string, isJson: boolean): ProgressLine {
  return !isJson && process.stderr.isTTY ? new TerminalLine(verb) : noLine;
}
