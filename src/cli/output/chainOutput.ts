/** Output of the commands that change chains: prune, synthesize, copy. */
import { formatBytes } from '../../core/units.ts';
import type { CopiedPoint, CopiedVm, CopyReport } from '../../sessions/copy/copyReport.ts';
import type { PrunedPoint, PrunedVm, PruneReport } from '../../sessions/retention/pruneReport.ts';
import type { SynthesizeReport } from '../../sessions/retention/synthesizeFull.ts';
import { FULL_FORM, idIn, isFull, type OutputForm } from './outputForm.ts';
import { type Column, formatFact, formatLine, formatTables } from './table.ts';
import { formatLocalTime, shortIds } from './text.ts';

/** A VM that failed before its restore points were read, for example a locked one. */
function formatFailed({ vmName, vmId, failure }: PrunedVm, form: OutputForm): string {
  const text = `failed: ${failure?.message} (${failure?.code}) ${failure?.hint}`;
  return `${formatLine(`${vmName} (${vmId})`, form)}\n${formatLine(text, form)}`;
}

function actionOf(point: PrunedPoint, points: readonly PrunedPoint[]): string {
  if (point.action === 'keep') return `kept: ${point.keptBecause.join(', ')}`;
  if (point.action === 'delete') return 'deleted';
  const target = points.find((other) => other.pointId === point.mergedInto);
  return `merged into no. ${target?.number ?? '?'}`;
}

function columnsOf(
  points: readonly PrunedPoint[],
  dryRun: boolean,
  form: OutputForm,
): Column<PrunedPoint>[] {
  const short = shortIds(points.map((point) => point.pointId));
  const isLong = isFull(form);
  const idOf = ({ pointId }: PrunedPoint): string => idIn(form, pointId, short);
  return [
    ['no.', (point) => String(point.number)],
    ['type', (point) => point.type, { kind: 'extra' }],
    ['created', (point) => formatLocalTime(point.createdAt, isLong)],
    [isLong ? 'restore point' : 'id', idOf, { kind: 'extra' }],
    ['file size', (point) => formatBytes(point.fileBytes)],
    [dryRun ? 'would be' : 'plan', (point) => actionOf(point, points), { kind: 'note' }],
  ];
}

function formatVm(vm: PrunedVm, table: string, dryRun: boolean, form: OutputForm): string {
  const [deleted, written, freed] = [
    vm.deletedBytes,
    vm.writtenBytes,
    vm.deletedBytes - vm.writtenBytes,
  ].map(formatBytes);
  const { failure } = vm;
  if (failure && vm.points.length === 0) return formatFailed(vm, form);
  return [
    formatLine(`${vm.vmName} (${vm.vmId})`, form),
    vm.points.length === 0 ? 'no restore points yet' : table,
    dryRun
      ? `would delete ${deleted}, write about ${written}, free about ${freed}`
      : `deleted ${deleted}, wrote ${written}, freed ${freed}`,
    ...(failure
      ? [formatLine(`failed: ${failure.message} (${failure.code}) ${failure.hint}`, form)]
      : []),
  ].join('\n');
}

export function formatPrune(report: PruneReport, form: OutputForm = FULL_FORM): string {
  if (report.vms.length === 0) return 'no VM has been backed up here yet';
  const { vms, dryRun } = report;
  const points = vms.map((vm) => vm.points);
  const tables = formatTables(columnsOf(points.flat(), dryRun, form), points, form);
  return vms.map((vm, index) => formatVm(vm, tables[index] ?? '', dryRun, form)).join('\n\n');
}

export function formatSynthesize(report: SynthesizeReport, form: OutputForm = FULL_FORM): string {
  const id = idIn(form, report.pointId);
  const point = `${report.vmName}: restore point ${report.pointNumber} (${id})`;
  if (!report.isNew) return formatLine(`${point} is a full already`, form);
  return [
    formatLine(`${point} is a full now`, form),
    formatFact(
      'file',
      `${report.fileName} (${formatBytes(report.fileBytes)}, instead of an increment of ${formatBytes(report.replacedBytes)})`,
      form,
    ),
  ].join('\n');
}

function copyColumns(points: readonly CopiedPoint[], form: OutputForm): Column<CopiedPoint>[] {
  const short = shortIds(points.map((point) => point.pointId));
  return [
    ['no.', (point) => String(point.number)],
    ['type', (point) => point.type],
    [isFull(form) ? 'restore point' : 'id', (point) => idIn(form, point.pointId, short)],
    ['file size', (point) => formatBytes(point.fileBytes)],
    ['read again', (point) => (point.isVerified ? 'good' : '-')],
    ['file', (point) => point.fileName, { kind: 'extra' }],
  ];
}

function formatCopiedVm(vm: CopiedVm, table: string, form: OutputForm): string {
  const { copied, presentCount, failed } = vm;
  return [
    formatLine(`${vm.vmName} (${vm.vmId})`, form),
    ...(copied.length > 0 ? [table] : []),
    formatLine(`copied ${copied.length}, there before ${presentCount}`, form),
    ...failed.map(({ number, message, code, hint }) =>
      formatLine(`failed: restore point ${number}: ${message} (${code}) ${hint}`, form),
    ),
  ].join('\n');
}

export function formatCopy(report: CopyReport, form: OutputForm = FULL_FORM): string {
  const { vms, failures } = report;
  if (vms.length + failures.length === 0) return 'no VM has been backed up there yet';
  const points = vms.map((vm) => vm.copied);
  const tables = formatTables(copyColumns(points.flat(), form), points, form);
  const failed = failures.map(({ folder, message, code, hint }) =>
    formatLine(`${folder}: ${message} (${code}) ${hint}`, form),
  );
  return [...vms.map((vm, index) => formatCopiedVm(vm, tables[index] ?? '', form)), ...failed].join(
    '\n\n',
  );
}
