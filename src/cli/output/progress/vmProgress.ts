/** State of one VM for the progress area: its phase, its disks, and how fast they are done. */
import { formatBytes, formatDuration } from '../../../core/units.ts';
import type {
  ProgressCounts,
  ProgressDisk,
  ProgressEvent,
  ProgressPhase,
} from '../../../sessions/shared/progress.ts';
import { waitText } from '../../../sessions/shared/waitText.ts';
import { printable } from '../text.ts';
import type { ProgressRow } from './progressRows.ts';

const PHASE_TEXTS: Readonly<Record<ProgressPhase, string>> = {
  preparing: 'preparing',
  freezing: 'freezing',
  reading: 'reading',
  finalizing: 'waiting for the engine to finalize',
  committing: 'committing',
  writing: 'restoring',
  uploading: 'uploading',
  converting: 'converting to qcow2',
  creatingVm: 'creating the VM',
  verifying: 'verifying',
  merging: 'merging',
  copying: 'copying',
  stopping: 'stopping',
};
/** Phases that move bytes of disks, and their texts when all bytes are moved. */
const DATA_PHASES: ReadonlyMap<ProgressPhase, string> = new Map([
  ['reading', 'finishing'],
  ['writing', 'finishing'],
  ['merging', 'finishing'],
  ['uploading', 'waiting for the engine to finish'],
]);
/** Words before a rate where it could be that of another stream of bytes. */
const RATE_VERBS: ReadonlyMap<ProgressPhase, string> = new Map([
  ['reading', 'read '],
  ['uploading', 'sent '],
]);
/** Rates are of this time. */
const WINDOW_MS = 10_000;
/** Rates and times left of a shorter time would jump. */
const MIN_RATE_MS = 1000;
const MIN_LEFT_MS = 2000;
/** A phase that lasts longer shows its time. */
const LONG_PHASE_MS = 2000;
/** Without a new byte for so long, a wait takes the place of the bar. */
const STALL_MS = 2000;

interface DiskState {
  readonly dataBytes: number | undefined;
  counts: ProgressCounts;
}

/** A wait of the session: its reason, and its begin. */
interface Wait {
  readonly text: string;
  readonly sinceMs: number;
}

interface Sample {
  readonly atMs: number;
  readonly doneBytes: number;
  readonly movedBytes: number;
}

const NOTHING: ProgressCounts = { doneBytes: 0, readBytes: 0 };

export class VmProgress {
  #vmName = '';
  #phase: ProgressPhase = 'preparing';
  #phaseSinceMs = 0;
  #hasStarted = false;
  #wait: Wait | undefined;
  #movedAtMs = -Infinity;
  readonly #disks = new Map<string, DiskState>();
  #samples: Sample[] = [];

  /** @param nowMs - `performance.now()`. */
  take(event: ProgressEvent, nowMs: number): void {
    this.#vmName = printable(event.vmName);
    if (event.type === 'phase') {
      this.#phase = event.phase;
      this.#phaseSinceMs = nowMs;
    }
    if (event.type === 'waiting') {
      const text = printable(waitText(event.waitsFor, event.reason));
      this.#wait = { text, sinceMs: this.#wait?.sinceMs ?? nowMs };
    }
    if (event.type === 'resumed') this.#wait = undefined;
    if (event.type === 'disksPlanned') this.#plan(event.disks);
    if (event.type === 'diskStarted') {
      this.#hasStarted = true;
      this.#addDisk(event);
    }
    if (event.type === 'diskProgress' || event.type === 'diskEnded') {
      this.#movedAtMs = nowMs;
      const disk = this.#disks.get(event.diskId);
      if (disk) disk.counts = event;
    }
  }

  row(nowMs: number): ProgressRow {
    const wait = nowMs - this.#movedAtMs > STALL_MS ? this.#wait : undefined;
    if (wait) return this.#textRow(wait.text, nowMs - wait.sinceMs);
    const phaseText = PHASE_TEXTS[this.#phase];
    const phaseMs = nowMs - this.#phaseSinceMs;
    const endText = DATA_PHASES.get(this.#phase);
    if (endText === undefined) return this.#textRow(phaseText, phaseMs);
    const disks = [...this.#disks.values()];
    const movedBytes = sumOf(disks, (disk) => this.#movedBytesOf(disk));
    const allDoneBytes = sumOf(disks, ({ counts }) => counts.doneBytes);
    const dataBytes = totalBytesOf(disks);
    const doneBytes = Math.min(allDoneBytes, dataBytes ?? Infinity);
    if (dataBytes === 0) return this.#textRow(phaseText, phaseMs);
    if (doneBytes === dataBytes) {
      return this.#row({ text: `${endText}, ${formatBytes(dataBytes)} done` });
    }
    if (this.#hasStarted) this.#sample({ atMs: nowMs, doneBytes, movedBytes });
    const total = dataBytes === undefined ? '?' : formatBytes(dataBytes);
    return this.#row({
      text: phaseText,
      ratio: dataBytes === undefined ? 'unknown' : doneBytes / dataBytes,
      done: `${formatBytes(doneBytes)} of ${total}`,
      rate: this.#rateText(),
      left: dataBytes === undefined ? '' : this.#leftText(dataBytes),
    });
  }

  #plan(disks: readonly ProgressDisk[]): void {
    this.#disks.clear();
    this.#hasStarted = false;
    this.#samples = [];
    for (const disk of disks) this.#addDisk(disk);
  }

  #addDisk({ diskId, dataBytes }: ProgressDisk): void {
    this.#disks.set(diskId, { dataBytes, counts: NOTHING });
  }

  #row(parts: Partial<ProgressRow> & Pick<ProgressRow, 'text'>): ProgressRow {
    return { vmName: this.#vmName, done: '', rate: '', left: '', ...parts };
  }

  #textRow(text: string, lastsMs: number): ProgressRow {
    const time = lastsMs < LONG_PHASE_MS ? '' : `, ${formatSeconds(lastsMs)}`;
    return this.#row({ text, time });
  }

  #sample(sample: Sample): void {
    const fromMs = sample.atMs - WINDOW_MS;
    this.#samples = [...this.#samples.filter(({ atMs }) => atMs >= fromMs), sample];
  }

  /** The oldest and the newest sample, when they are far enough apart. */
  #span(minMs: number): { readonly from: Sample; readonly to: Sample; ms: number } | undefined {
    const [from, to] = [this.#samples[0], this.#samples.at(-1)];
    if (!from || !to || to.atMs - from.atMs < minMs) return undefined;
    return { from, to, ms: to.atMs - from.atMs };
  }

  #movedBytesOf({ counts }: DiskState): number {
    if (this.#phase === 'uploading') return counts.sentBytes ?? 0;
    return this.#phase === 'reading' ? counts.readBytes : counts.doneBytes;
  }

  #rateText(): string {
    const span = this.#span(MIN_RATE_MS);
    if (!span) return '';
    const bytesPerSecond = ((span.to.movedBytes - span.from.movedBytes) / span.ms) * 1000;
    const verb = RATE_VERBS.get(this.#phase) ?? '';
    return `${verb}${formatBytes(Math.round(bytesPerSecond))}/s`;
  }

  #leftText(dataBytes: number): string {
    const span = this.#span(MIN_LEFT_MS);
    const doneBytes = span ? span.to.doneBytes - span.from.doneBytes : 0;
    if (!span || doneBytes <= 0) return '';
    const leftMs = ((dataBytes - span.to.doneBytes) / doneBytes) * span.ms;
    return leftMs < 1000 ? '' : `${formatLeft(leftMs)} left`;
  }
}

/** Whole seconds: tenths would only flicker. */
function formatSeconds(timeMs: number): string {
  const seconds = Math.round(timeMs / 1000);
  return seconds < 60 ? `${seconds} s` : formatDuration(seconds * 1000);
}

/** One figure: `12 s`, `5 min`, `1.5 h`. A longer text would not fit its column. */
function formatLeft(timeMs: number): string {
  const seconds = Math.round(timeMs / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function sumOf(disks: readonly DiskState[], pick: (disk: DiskState) => number): number {
  return disks.reduce((sum, disk) => sum + pick(disk), 0);
}

/** Undefined while the data of some disk is not known. A total must not grow later. */
function totalBytesOf(disks: readonly DiskState[]): number | undefined {
  const isKnown = disks.every(({ dataBytes }) => dataBytes !== undefined);
  return isKnown ? sumOf(disks, ({ dataBytes = 0 }) => dataBytes) : undefined;
}
