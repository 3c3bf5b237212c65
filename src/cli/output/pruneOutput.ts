/** Output of the commands that change chains: prune, synthesize. */
import { formatBytes } from '../../core/units.ts';
import type { PrunedPoint, PrunedVm, PruneReport } from '../../sessions/retention/pruneReport.ts';
import type { SynthesizeReport } from '../../sessions/retention/synthesizeFull.ts';
import { type Column, formatRows } from './table.ts';

function actionOf(point: PrunedPoint, points: readonly PrunedPoint[]): string {
  if (point.action === 'keep') return `kept: ${point.keptBecause.join(', ')}`;
  if (point.action === 'delete') return 'deleted';
  const target = points.find((other) => other.pointId === point.mergedInto);
  return `merged into no. ${target?.number ?? '?'}`;
}

function formatVm(vm: PrunedVm, dryRun: boolean): string {
  const columns: readonly Column<PrunedPoint>[] = [
    ['no.', (point) => String(point.number)],
    ['type', (point) => point.type],
    ['created', (point) => point.createdAt],
    ['restore point', (point) => point.pointId],
    ['file size', (point) => formatBytes(point.fileBytes)],
    [dryRun ? 'would be' : 'plan', (point) => actionOf(point, vm.points)],
  ];
  const [deleted, written, freed] = [
    vm.deletedBytes,
    vm.writtenBytes,
    vm.deletedBytes - vm.writtenBytes,
  ].map(formatBytes);
  const { failure } = vm;
  return [
    `${vm.vmName} (${vm.vmId})`,
    vm.points.length === 0 ? 'no restore point' : formatRows(columns, vm.points),
    dryRun
      ? `would delete ${deleted}, write about ${written}, free about ${freed}`
      : `deleted ${deleted}, wrote ${written}, freed ${freed}`,
    ...(failure ? [`failed: ${failure.message} (${failure.code}) ${failure.hint}`] : []),
  ].join('\n');
}

export function formatPrune(report: PruneReport): string {
  if (report.vms.length === 0) return 'no VM has been backed up here yet';
  return report.vms.map((vm) => formatVm(vm, report.dryRun)).join('\n\n');
}

export function formatSynthesize(report: SynthesizeReport): string {
  const point = `${report.vmName}: restore point ${report.pointNumber} (${report.pointId})`;
  if (!report.isNew) return `${point} is a full already`;
  return [
    `${point} is a full now`,
    `file        ${report.fileName} (${formatBytes(report.fileBytes)}, instead of an increment of ${formatBytes(report.replacedBytes)})`,
  ].join('\n');
}
