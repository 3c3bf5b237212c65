/** Tables of the commands that manage chains. */
import { formatBytes } from '../../core/units.ts';
import type { PrunedPoint, PrunedVm, PruneReport } from '../../sessions/retention/pruneReport.ts';
import type { SynthesizeReport } from '../../sessions/retention/synthesizeFull.ts';
import { formatTable } from './output.ts';

function actionOf(point: PrunedPoint, points: readonly PrunedPoint[]): string {
  if (point.action === 'keep') return `kept: ${point.keptBecause.join(', ')}`;
  if (point.action === 'delete') return 'deleted';
  const target = points.find((other) => other.pointId === point.mergedInto);
  return `merged into no. ${target?.number ?? '?'}`;
}

function formatVm(vm: PrunedVm, dryRun: boolean): string {
  const rows = vm.points.map((point) => [
    String(point.number),
    point.type,
    point.createdAt,
    point.pointId,
    formatBytes(point.fileBytes),
    actionOf(point, vm.points),
  ]);
  const header = [
    'no.',
    'type',
    'created',
    'restore point',
    'file size',
    dryRun ? 'would be' : 'plan',
  ];
  const [deleted, written, freed] = [
    vm.deletedBytes,
    vm.writtenBytes,
    vm.deletedBytes - vm.writtenBytes,
  ].map(formatBytes);
  const { failure } = vm;
  return [
    `${vm.vmName} (${vm.vmId})`,
    vm.points.length === 0 ? 'no restore point' : formatTable(header, rows),
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
