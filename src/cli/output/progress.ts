/** Progress area on a terminal: a row for each VM. Without a terminal there is none. */
import type { ProgressEvent } from '../../sessions/shared/progress.ts';
import { createRowColumns, formatRows, type RowColumns } from './progress/progressRows.ts';
import { columnsOf } from './outputForm.ts';
import { messageOutput } from './standardOutputs.ts';
import { cut } from './text.ts';
import { VmProgress } from './progress/vmProgress.ts';

const INTERVAL_MS = 250;
/** For terminals that do not tell their height. */
const DEFAULT_ROWS = 24;

export interface ProgressLine {
  readonly onProgress: (event: ProgressEvent) => void;
  stop(): void;
}

const noLine: ProgressLine = { onProgress: () => {}, stop: () => {} };

/**
 * Lines of the area, fewer than the terminal has. VMs that have no room are counted in the last
 * line.
 */
export function formatArea(
  vms: readonly VmProgress[],
  size: { readonly columns: number; readonly rows: number },
  nowMs: number,
  rowColumns: RowColumns = createRowColumns(),
): string[] {
  const room = Math.max(1, size.rows - 1);
  const shown = vms.length <= room ? vms : vms.slice(0, room - 1);
  const lines = formatRows(
    shown.map((vm) => vm.row(nowMs)),
    size.columns,
    rowColumns,
  );
  const hidden = vms.length - shown.length;
  if (hidden > 0) lines.push(cut(`… and ${hidden} more VMs`, size.columns - 1));
  return lines;
}

class TerminalArea implements ProgressLine {
  readonly #verb: string;
  /** By session id, in the order of their starts. */
  readonly #vms = new Map<string, VmProgress>();
  readonly #timer: NodeJS.Timeout;
  #columns = 0;
  #rowColumns = createRowColumns();
  #hasBegun = false;

  constructor(verb: string) {
    this.#verb = verb;
    messageOutput.hasArea = true;
    this.#timer = setInterval(() => this.#draw(), INTERVAL_MS);
    this.#timer.unref();
  }

  readonly onProgress = (event: ProgressEvent): void => {
    this.#hasBegun = true;
    if (event.type === 'ended') {
      this.#vms.delete(event.sessionId);
      return;
    }
    const vm = this.#vms.get(event.sessionId) ?? new VmProgress();
    this.#vms.set(event.sessionId, vm);
    vm.take(event, performance.now());
  };

  stop(): void {
    clearInterval(this.#timer);
    messageOutput.hasArea = false;
    messageOutput.clearProgress();
  }

  #draw(): void {
    const columns = columnsOf(process.stderr);
    const rows = process.stderr.rows || DEFAULT_ROWS;
    if (columns !== this.#columns) this.#rowColumns = createRowColumns();
    this.#columns = columns;
    const lines = this.#hasBegun
      ? formatArea([...this.#vms.values()], { columns, rows }, performance.now(), this.#rowColumns)
      : [cut(`${this.#verb}: ${messageOutput.startText}`, columns - 1)];
    if (lines.length > 0) messageOutput.drawProgress(lines);
    else messageOutput.clearProgress();
  }
}

/** A progress area; it does nothing with --json or without a terminal. */
export function createProgressLine(verb: string, isJson: boolean): ProgressLine {
  return !isJson && process.stderr.isTTY ? new TerminalArea(verb) : noLine;
}
