/** Output of verify: files, findings, damaged restore points. */
import { formatBytes } from '../../core/units.ts';
import type { VerifiedFile } from '../../sessions/verify/verifyReport.ts';
import type { VerifyReport } from '../../sessions/verify/verifyRepository.ts';
import { formatPercent } from './listOutput.ts';
import { FULL_FORM, idIn, type OutputForm, type Style } from './outputForm.ts';
import { type Column, formatLine, formatRows, formatSeconds } from './table.ts';
import { countOf, widthOf } from './text.ts';

type Found = VerifyReport['damage'][number];

/** Most findings that are printed. `--json` has up to 1000. */
const MAX_PRINTED = 50;
const INDENT = 4;

function nameOf(report: VerifyReport): (pointId: string) => string {
  const numbers = new Map(report.points.map((point) => [point.pointId, point.pointNumber]));
  return (pointId) => {
    const number = numbers.get(pointId);
    return number === undefined ? pointId : `${number} (${pointId.slice(0, 8)})`;
  };
}

function healedLine(pointId: string, number: number | undefined): string {
  const point = `${number ?? '?'} (${pointId.slice(0, 8)})`;
  return `  from restore point ${point} on, these places hold other data and do not need the block`;
}

function joined(pointIds: readonly string[], name: (pointId: string) => string): string {
  if (pointIds.length === 0) return 'no restore point';
  const noun = pointIds.length === 1 ? 'restore point' : 'restore points';
  return `${noun} ${pointIds.map(name).join(', ')}`;
}

/** Lines for one finding: code and message, and the places that need a damaged stored block. */
function damageLines(found: Found, message: string, name: (pointId: string) => string): string[] {
  const { code, uses, useCount = 0, healedFrom, affectedPointIds } = found;
  if (!uses) {
    return [`${code}: ${message}; may be needed by ${joined(affectedPointIds, name)}`];
  }
  const places = uses.map(({ alias, diskId, offsetBytes, item, pointIds }) => {
    const place = item === undefined ? `disk ${alias} (${diskId}) at ${offsetBytes} B` : item;
    return `  ${place}: needed by ${joined(pointIds, name)}`;
  });
  const left = useCount - uses.length;
  return [
    `${code}: ${message}`,
    ...places,
    ...(left > 0 ? [`  and ${countOf(left, 'more place')}`] : []),
    ...(useCount === 0 ? ['  needed by no restore point'] : []),
    ...(healedFrom === undefined ? [] : [healedLine(healedFrom, found.healedFromNumber)]),
  ];
}

/** The message with the name of its file, relative to the repository. */
function messageOf({ message, fileName }: Found, repository: string | undefined): string {
  const relative = repository === undefined ? message : message.replaceAll(`${repository}/`, '');
  return relative.includes(fileName) ? relative : `${fileName}: ${relative}`;
}

/** A line of prose. A path that is longer than the line is broken after a slash. */
function formatLongLine(text: string, form: OutputForm): string {
  const mostColumns = form.columns - INDENT;
  const words = text.split(' ').flatMap((word) => {
    const pieces: string[] = [''];
    for (const part of word.split(/(?<=\/)/)) {
      const last = pieces.at(-1) ?? '';
      if (widthOf(last + part) <= mostColumns) pieces[pieces.length - 1] = last + part;
      else pieces.push(part);
    }
    return pieces.filter((piece, index) => index > 0 || piece !== '' || pieces.length === 1);
  });
  return formatLine(words.join(' '), form, INDENT);
}

/** The share of the stored blocks that was really read; empty when all were. */
function sampleOf(files: readonly VerifiedFile[]): string {
  const checked = files.reduce((sum, file) => sum + file.checkedBlocks, 0);
  const leftOut = files.reduce((sum, file) => sum + file.skippedBlocks, 0);
  if (leftOut === 0) return '';
  const total = checked + leftOut;
  return `; ${checked} of ${total} stored blocks were read (${formatPercent(checked / total)})`;
}

function summary(report: VerifyReport): string {
  const { files, damageCount, points, outcome } = report;
  const time = formatSeconds(report.durationSeconds);
  const found = damageCount === 0 ? 'no damage' : countOf(damageCount, 'finding');
  const isSpared = damageCount > 0 && outcome === 'ok';
  const spared = isSpared ? '; the restore points that were asked for do not need it' : '';
  const damaged = points.filter((point) => point.isDamaged).length;
  const harmed = damaged > 0 ? `; damaged restore points: ${damaged}` : '';
  return `${countOf(files.length, 'file')} verified in ${time}: ${found}${harmed}${spared}${sampleOf(files)}`;
}

function resultOf({ damageCount, isResumed }: VerifiedFile): string {
  const found = damageCount === 0 ? 'ok' : `${damageCount} damaged`;
  return isResumed ? `${found} (before)` : found;
}

function resultStyle({ damageCount }: VerifiedFile): Style {
  return damageCount === 0 ? 'green' : 'red';
}

const FILE_COLUMNS: readonly Column<VerifiedFile>[] = [
  ['vm', (file) => file.vmName, { kind: 'name' }],
  ['no.', (file) => String(file.pointNumber)],
  ['file', (file) => file.fileName, { kind: 'extra' }],
  ['blocks checked', (file) => String(file.checkedBlocks)],
  ['left out', (file) => String(file.skippedBlocks)],
  ['plain bytes', (file) => formatBytes(file.plainBytes), { kind: 'extra' }],
  ['result', resultOf, { style: resultStyle }],
];

export function formatVerify(report: VerifyReport, form: OutputForm = FULL_FORM): string {
  const name = nameOf(report);
  const printed = report.damage.slice(0, MAX_PRINTED);
  const left = report.damageCount - printed.length;
  const damaged = report.points.filter((point) => point.isDamaged);
  const lines = [
    ...printed.flatMap((found) => damageLines(found, messageOf(found, report.repository), name)),
    ...(left > 0 ? [`and ${countOf(left, 'more finding')}; --json lists up to 1000`] : []),
    ...damaged.map(
      ({ vmName, pointNumber, pointId }) =>
        // A file that cannot be read does not tell its VM.
        `damaged: ${vmName && `${vmName} `}restore point ${pointNumber} ${idIn(form, pointId)}`,
    ),
    ...report.unlistedFiles.map(
      ({ vmName, fileName }) =>
        `not listed: ${vmName} ${fileName}; the next session or "ovirt-cbt rescan" adds it`,
    ),
    ...(report.isRecorded !== false ? [] : ['the result could not be recorded in the repository']),
    summary(report),
  ];
  const text = lines.map((line) => formatLongLine(line, form));
  return [formatRows(FILE_COLUMNS, report.files, form), ...text].join('\n');
}
