/** Output of inspect: the structure of one container. */
import path from 'node:path';
import { formatBytes } from '../../core/units.ts';
import type { InspectedItem, InspectReport } from '../../sessions/inspect/inspectContainer.ts';
import { FULL_FORM, isFull, type OutputForm } from './outputForm.ts';
import type { InspectedVm, InspectFilesReport } from '../../sessions/files/inspectFiles.ts';
import { type Column, formatFact, formatRows } from './table.ts';
import { countOf } from './text.ts';

const MAX_VALUE_CHARS = 40;

function formatProperties({ properties }: InspectedItem): string {
  return properties
    .map(({ name, value }) => `${name}=${String(value).slice(0, MAX_VALUE_CHARS)}`)
    .join(' ');
}

/** The name of an item, indented by its folders: whole paths are longer than a line. */
function nameInTree({ path: itemPath }: InspectedItem): string {
  const parts = itemPath.split('/');
  return `${'  '.repeat(parts.length - 1)}${parts.at(-1)}`;
}

function itemColumns(form: OutputForm): Column<InspectedItem>[] {
  return [
    ['item', (item) => item.kind],
    ['count', (item) => String(item.count)],
    ['size', (item) => formatBytes(item.sizeBytes)],
    isFull(form) ? ['path', (item) => item.path] : ['name', nameInTree, { kind: 'name' }],
    ['properties', formatProperties, { kind: 'full' }],
  ];
}

function formatSlot(slot: InspectReport['slots'][number], activeSlot: number): string {
  const { state, version, bankCount } = slot;
  const facts = version === undefined ? '' : `, version ${version}, ${countOf(bankCount, 'bank')}`;
  return `${state}${facts}${slot.slotNumber === activeSlot ? ' (read)' : ''}`;
}

function formatForms(counts: InspectReport['compressions']): string {
  const forms = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
  return forms.length === 0 ? 'no blocks' : forms.join(', ');
}

export function formatInspect(report: InspectReport, form: OutputForm = FULL_FORM): string {
  const fact = (label: string, text: string): string => formatFact(label, text, form);
  const file = isFull(form) ? report.file : path.basename(report.file);
  const { storedBlocks, sharedBlocks, freeExtents, problems } = report;
  return [
    fact(
      'file',
      `${file} (${formatBytes(report.fileBytes)}, snapshot ends at ${report.endOfFileBytes} B)`,
    ),
    fact(
      'format',
      `version ${report.formatVersion}, slot format ${report.slotFormat}, blocks of ${formatBytes(report.blockSizeBytes)}`,
    ),
    ...report.slots.map((slot) =>
      fact(`slot ${slot.slotNumber}`, formatSlot(slot, report.activeSlot)),
    ),
    fact(
      'metadata',
      `${countOf(report.bankCount, 'bank')}, ${countOf(report.metadataPages, 'page')}`,
    ),
    fact(
      'blocks',
      `${storedBlocks} stored (${sharedBlocks} shared, ${freeExtents} free): ${formatBytes(report.plainBytes)} as ${formatBytes(report.storedBytes)}`,
    ),
    fact('compression', formatForms(report.compressions)),
    fact('problems', problems.length === 0 ? 'none' : problems.join('; ')),
    '',
    formatRows(itemColumns(form), report.items, form),
  ].join('\n');
}

type InspectedDisk = InspectedVm['disks'][number];

const DISK_COLUMNS: readonly Column<InspectedDisk>[] = [
  ['disk', (disk) => disk.name, { kind: 'name' }],
  ['size', (disk) => formatBytes(disk.sizeBytes)],
  ['in the last file', (disk) => disk.content],
  ['bytes of', (disk) => (disk.imageKind ? `a file .${disk.imageKind}` : 'the disk')],
];

function formatVm(vm: InspectedVm, form: OutputForm): string {
  const head = [formatFact('VM', vm.name, form), formatFact('folder', vm.folder || '/', form)];
  if (vm.problem) return [...head, formatFact('problem', vm.problem.message, form)].join('\n');
  return [...head, formatRows(DISK_COLUMNS, vm.disks, form)].join('\n');
}

/** The structure of each file, then the VMs and disks of the last one. */
export function formatInspectFiles(
  { files, vms }: InspectFilesReport,
  form: OutputForm = FULL_FORM,
): string {
  const blocks = [
    ...files.map((file) => formatInspect(file, form)),
    ...(vms.length === 0 ? ['no disks'] : vms.map((vm) => formatVm(vm, form))),
  ];
  return blocks.join('\n\n');
}
