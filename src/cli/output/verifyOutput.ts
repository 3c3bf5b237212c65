/** What `verify` prints for people. */
import { formatBytes, formatDuration } from '../../core/units.ts';
import type { VerifyReport } from '../../sessions/verify/verifyRepository.ts';
import { formatTable } from './output.ts';

type Found = VerifyReport['damage'][number];

const MS = 1000;
/** Findings that are printed; `--json` has more of them. */
const MAX_PRINTED = 50;

function nameOf(report: VerifyReport): (pointId: string) => string {
  const numbers = new Map(report.points.map((point) => [point.pointId, point.pointNumber]));
  return (pointId) => {
    const number = numbers.get(pointId);
    return number === undefined ? pointId : `${number} (${pointId.slice(0, 8)})`;
  };
}

function joined(pointIds: readonly string[], name: (pointId: string) => string): string {
  return pointIds.length === 0 ? 'none' : pointIds.map(name).join(', ');
}

/** A finding, and where a damaged stored block is needed. */
function damageLines(found: Found, name: (pointId: string) => string): string[] {
  const { code, message, uses, useCount = 0, healedFrom, affectedPointIds } = found;
  if (!uses) {
    return [
      `${code}: ${message}; may be needed by restore points ${joined(affectedPointIds, name)}`,
    ];
  }
  const places = uses.map(({ alias, diskId, offsetBytes, item, pointIds }) => {
    const place = item === undefined ? `disk ${alias} (${diskId}) at ${offsetBytes} B` : item;
    return `  ${place}: needed by restore points ${joined(pointIds, name)}`;
  });
  const left = useCount - uses.length;
  return [
    `${code}: ${message}`,
    ...places,
    ...(left > 0 ? [`  and ${left} more places`] : []),
    ...(useCount === 0 ? ['  needed by no restore point'] : []),
    ...(healedFrom === undefined ? [] : [`  other data from restore point ${healedFrom} on`]),
  ];
}

function summary(report: VerifyReport): string {
  const { files, damageCount, points, outcome } = report;
  const time = formatDuration(report.durationSeconds * MS);
  const found = damageCount === 0 ? 'no damage' : `${damageCount} findings`;
  const isSpared = damageCount > 0 && outcome === 'ok';
  const spared = isSpared ? '; the restore points that were asked for do not need it' : '';
  const damaged = points.filter((point) => point.isDamaged).length;
  const harmed = damaged > 0 ? `; damaged restore points: ${damaged}` : '';
  return `${files.length} files verified in ${time}: ${found}${harmed}${spared}`;
}

export function formatVerify(report: VerifyReport): string {
  const rows = report.files.map((file) => [
    file.vmName,
    String(file.pointNumber),
    file.fileName,
    String(file.checkedBlocks),
    String(file.skippedBlocks),
    formatBytes(file.plainBytes),
    `${file.damageCount === 0 ? 'ok' : `${file.damageCount} damaged`}${file.isResumed ? ' (before)' : ''}`,
  ]);
  const header = ['vm', 'no.', 'file', 'blocks checked', 'left out', 'plain bytes', 'result'];
  const name = nameOf(report);
  const printed = report.damage.slice(0, MAX_PRINTED);
  const left = report.damageCount - printed.length;
  const damaged = report.points.filter((point) => point.isDamaged);
  return [
    formatTable(header, rows),
    ...printed.flatMap((found) => damageLines(found, name)),
    ...(left > 0 ? [`and ${left} more findings; --json lists up to 1000`] : []),
    ...damaged.map(
      ({ vmName, pointNumber, pointId }) =>
        `damaged: ${vmName} restore point ${pointNumber} ${pointId}`,
    ),
    ...report.unlistedFiles.map(
      ({ vmName, fileName }) =>
        `not listed: ${vmName} ${fileName}; the next session or "ovirt-cbt rescan" adds it`,
    ),
    ...(report.isRecorded ? [] : ['the result could not be recorded in the repository']),
    summary(report),
  ].join('\n');
}
