/** Output of inspect: the structure of one container. */
import { formatBytes } from '../../core/units.ts';
import type { InspectedItem, InspectReport } from '../../sessions/inspect/inspectContainer.ts';
import { type Column, formatRows } from './table.ts';

const MAX_VALUE_CHARS = 40;

function formatProperties({ properties }: InspectedItem): string {
  return properties
    .map(({ name, value }) => `${name}=${String(value).slice(0, MAX_VALUE_CHARS)}`)
    .join(' ');
}

const ITEM_COLUMNS: readonly Column<InspectedItem>[] = [
  ['item', (item) => item.kind],
  ['count', (item) => String(item.count)],
  ['size', (item) => formatBytes(item.sizeBytes)],
  ['properties', formatProperties],
  ['path', (item) => item.path],
];

export function formatInspect(report: InspectReport): string {
  const slots = report.slots.map(
    (slot) =>
      `slot ${slot.slotNumber}      ${slot.state}${slot.version === undefined ? '' : `, version ${slot.version}, ${slot.bankCount} banks`}${slot.slotNumber === report.activeSlot ? ' (read)' : ''}`,
  );
  return [
    `file        ${report.file} (${formatBytes(report.fileBytes)}, snapshot ends at ${report.endOfFileBytes} B)`,
    `format      version 13, slot format ${report.slotFormat}, blocks of ${formatBytes(report.blockSizeBytes)}`,
    ...slots,
    `metadata    ${report.bankCount} banks, ${report.metadataPages} pages`,
    `blocks      ${report.storedBlocks} stored (${report.sharedBlocks} shared, ${report.freeExtents} free): ${formatBytes(report.plainBytes)} as ${formatBytes(report.storedBytes)}`,
    `problems    ${report.problems.length === 0 ? 'none' : report.problems.join('; ')}`,
    '',
    formatRows(ITEM_COLUMNS, report.items),
  ].join('\n');
}
