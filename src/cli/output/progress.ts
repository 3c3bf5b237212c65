/**
 * Progress line on a terminal: share done, read rate, time left. Without a terminal there is no
 * line.
 */
import { formatBytes, formatDuration } from '../../core/units.ts';
import type { DiskProgress } from '../../sessions/shared/progress.ts';
import { messageOutput } from './standardOutputs.ts';

const INTERVAL_MS = 250;
const MIN_BAR_COLUMNS = 5;
const MAX_BAR_COLUMNS = 40;
/** For terminals that do not tell their width. */
const DEFAULT_COLUMNS = 80;

export interface ProgressLine {
  addDisk(disk: DiskProgress): void;
  stop(): void;
}

const noLine: ProgressLine = { addDisk: () => {}, stop: () => {} };

/** Sums over the disks of a command. */
export interface ProgressCounts {
  readonly doneBytes: number;
  readonly sizeBytes: number;
  readonly readBytes: number;
  readonly elapsedMs: number;
}

function formatBar(ratio: number, columns: number): string {
  const full = Math.round(ratio * columns);
  return ` ${'\u2588'.repeat(full)}${'\u2591'.repeat(columns - full)}`;
}

/**
 * One line of fewer than `columns` characters, so that no terminal wraps it. The bar takes the room
 * that the figures leave, and is left out where that is little.
 */
export function formatProgress(verb: string, counts: ProgressCounts, columns: number): string {
  const { doneBytes, sizeBytes, readBytes, elapsedMs } = counts;
  const ratio = sizeBytes > 0 ? Math.min(1, doneBytes / sizeBytes) : 0;
  const leftMs = doneBytes > 0 ? (elapsedMs * (sizeBytes - doneBytes)) / doneBytes : undefined;
  const figures = [
    ` ${Math.round(ratio * 100)}%`,
    `${formatBytes(doneBytes)} of ${sizeBytes > 0 ? formatBytes(sizeBytes) : '?'}`,
    `read ${formatBytes((readBytes / elapsedMs) * 1000)}/s`,
    `${leftMs === undefined ? '?' : formatDuration(leftMs)} left`,
  ].join(' | ');
  const roomColumns = columns - 1 - verb.length - figures.length - 1;
  const bar =
    roomColumns < MIN_BAR_COLUMNS ? '' : formatBar(ratio, Math.min(roomColumns, MAX_BAR_COLUMNS));
  return `${verb}${bar}${figures}`.slice(0, columns - 1);
}

class TerminalLine implements ProgressLine {
  readonly #verb: string;
  readonly #disks: DiskProgress[] = [];
  readonly #startedAtMs = performance.now();
  readonly #timer: NodeJS.Timeout;

  constructor(verb: string) {
    this.#verb = verb;
    this.#timer = setInterval(() => this.#update(), INTERVAL_MS);
    this.#timer.unref();
  }

  addDisk(disk: DiskProgress): void {
    this.#disks.push(disk);
  }

  stop(): void {
    clearInterval(this.#timer);
    messageOutput.clearProgress();
  }

  #update(): void {
    const sum = (pick: (disk: DiskProgress) => number): number =>
      this.#disks.reduce((total, disk) => total + pick(disk), 0);
    const counts = {
      doneBytes: sum((disk) => disk.doneBytes()),
      sizeBytes: sum((disk) => disk.sizeBytes),
      readBytes: sum((disk) => disk.readBytes()),
      elapsedMs: performance.now() - this.#startedAtMs,
    };
    const columns = process.stderr.columns || DEFAULT_COLUMNS;
    messageOutput.drawProgress(formatProgress(this.#verb, counts, columns));
  }
}

/** A progress line; it does nothing with --json or without a terminal. */
export function createProgressLine(verb: string, isJson: boolean): ProgressLine {
  return !isJson && process.stderr.isTTY ? new TerminalLine(verb) : noLine;
}
