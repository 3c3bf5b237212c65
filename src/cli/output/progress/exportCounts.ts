/** Texts of `export`: what is served, while it runs and at its end. */
import { formatBytes } from '../../../core/units.ts';
import type { ServedCounts, ServedOverlay } from '../../../points/pointTypes.ts';
import { columnsOf } from '../outputForm.ts';
import { messageOutput } from '../standardOutputs.ts';
import { countOf, cut, printable } from '../text.ts';

const INTERVAL_MS = 500;

/** `12 requests of 2 clients: 1.50 MiB read, 4.0 KiB written, 1 request failed`. */
export function countsText(served: ServedCounts): string {
  const { clientsInAll, requests, bytesRead, bytesWritten, failures } = served;
  const parts = [`${formatBytes(bytesRead)} read`];
  if (bytesWritten > 0) parts.push(`${formatBytes(bytesWritten)} written`);
  if (failures > 0) parts.push(`${countOf(failures, 'request')} failed`);
  return `${countOf(requests, 'request')} of ${countOf(clientsInAll, 'client')}: ${parts.join(', ')}`;
}

/** Says what became of the writes to a disk. */
function overlayText(overlay: ServedOverlay): string {
  const { exportName, folder, isKept, changedBytes } = overlay;
  const fate = isKept ? `kept in ${folder}` : 'deleted';
  return printable(`${exportName}: ${formatBytes(changedBytes)} changed, ${fate}`);
}

/** Lines that say what became of the writes to all disks. */
export function overlayLines(
  overlays: readonly ServedOverlay[],
  pointNumber: number,
  isOfFiles: boolean,
): string[] {
  const lines = overlays.map(overlayText);
  if (!overlays.some(({ isKept }) => isKept)) return lines;
  // A backup in the meantime makes another point the latest one.
  const way = isOfFiles
    ? 'the same command goes on with these writes; they need these files'
    : `--point ${pointNumber} goes on with these writes; do not prune that restore point away`;
  return [...lines, way];
}

/** Lines that say what is served: the point, how, and the writes of earlier times. */
export function startLines(
  pointName: string,
  writable: { readonly folder: string; readonly keep: boolean } | undefined,
  overlays: readonly ServedOverlay[],
): string[] {
  const fate = writable?.keep ? 'writes are kept' : 'writes are deleted at the end';
  const how = writable ? `writable, in ${writable.folder}; ${fate}` : 'read-only';
  const continued = overlays.filter(({ changedBytes }) => changedBytes > 0);
  const earlier = continued.map(
    (overlay) =>
      `${overlay.exportName}: goes on with ${formatBytes(overlay.changedBytes)} changed before, in ${overlay.folder}`,
  );
  return [pointName, `${how}; Ctrl-C ends it`, ...earlier].map(printable);
}

/** Shows the counts in the last line of a terminal until it is stopped. */
export function showCounts(served: ServedCounts, isJson: boolean): { stop(): void } {
  if (isJson || !process.stderr.isTTY) return { stop: () => {} };
  messageOutput.hasArea = true;
  const draw = (): void => {
    const text = `${countOf(served.clients, 'client')} now; ${countsText(served)}`;
    messageOutput.drawProgress([cut(text, columnsOf(process.stderr) - 1)]);
  };
  draw();
  const timer = setInterval(draw, INTERVAL_MS).unref();
  return {
    stop: () => {
      clearInterval(timer);
      messageOutput.hasArea = false;
      messageOutput.clearProgress();
    },
  };
}
