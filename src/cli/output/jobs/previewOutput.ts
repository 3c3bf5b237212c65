/** Output of `run --dry-run`: what a run would do. */
import { formatBytes } from '../../../core/units.ts';
import type { RunPreview } from '../../../jobs/run/previewJob.ts';
import type { CopyPlan, PlannedVmCopy } from '../../../sessions/copy/planCopy.ts';
import { formatPrune } from '../chainOutput.ts';
import { formatPreflights } from '../engineOutput.ts';
import { FULL_FORM, type OutputForm } from '../outputForm.ts';
import { formatFact, formatLine } from '../table.ts';
import { countOf, formatLocalTime } from '../text.ts';

function copyLine({ vmName, missing, presentCount }: PlannedVmCopy, form: OutputForm): string {
  const bytes = missing.reduce((sum, { fileBytes }) => sum + fileBytes, 0);
  const points = countOf(missing.length, 'point');
  const text = `${vmName}: ${points} to copy (${formatBytes(bytes)}), there already ${presentCount}`;
  return formatLine(`  ${text}`, form, 4);
}

function copyLines({ to, isNew, vms, failures }: CopyPlan, form: OutputForm): string[] {
  return [
    formatLine(`copy to ${to}${isNew ? ', which is no repository yet' : ''}:`, form),
    ...vms.map((vm) => copyLine(vm, form)),
    ...failures.map(({ folder, message, code }) =>
      formatLine(`  ${folder}: ${message} (${code})`, form, 4),
    ),
  ];
}

function facts(preview: RunPreview, form: OutputForm): string[] {
  const { windowEnd, vanishedVms, newVms, hooks, verifySampleRatio } = preview;
  const found: readonly (readonly [string, string])[] = [
    ['window', windowEnd === undefined ? '' : `no VM starts from ${formatLocalTime(windowEnd)} on`],
    ['new', newVms.join(', ')],
    ['no longer selected', vanishedVms.join(', ')],
    ['hooks', hooks.map(({ when, program }) => `${when}: ${program}`).join(', ')],
    [
      'verify',
      verifySampleRatio === undefined
        ? ''
        : `${Number((verifySampleRatio * 100).toFixed(3))} % of the stored blocks of each latest point`,
    ],
  ];
  return found
    .filter(([, text]) => text !== '')
    .map(([label, text]) => formatFact(label, text, form));
}

export function formatPreview(preview: RunPreview, form: OutputForm = FULL_FORM): string {
  const { jobName, repository, vms, failures, prune, copy } = preview;
  const count = countOf(vms.length + failures.length, 'VM');
  const parts: readonly string[] = [
    formatLine(`job ${jobName} would back up ${count} to ${repository}`, form),
    ...formatPreflights(vms, form),
    failures
      .map(({ vmName, message, code, hint }) =>
        formatLine(`${vmName}: would fail: ${message} (${code}); ${hint}`, form),
      )
      .join('\n'),
    prune ? `prune, without the points of this run:\n${formatPrune(prune, form)}` : '',
    copy ? copyLines(copy, form).join('\n') : '',
    facts(preview, form).join('\n'),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}
