/** What receivers are told: a payload for programs, and texts for people. */
import { hostname } from 'node:os';
import { printable } from '../../core/namePattern.ts';
import { type StepFacts, workStepsOf } from '../../report/runSteps.ts';
import { counted } from '../../report/words.ts';
import type { NotifyEvent } from '../jobFile.ts';
import type { VmState } from '../jobState.ts';
import type { RunReport } from '../runReport.ts';
import { type NotifyPayload, runPayload } from './payload.ts';

export interface MailTexts {
  readonly text: string;
  readonly html?: string;
  /** The whole page, as an attachment. */
  readonly page?: { readonly fileName: string; readonly html: string };
}

export interface Notice {
  readonly payload: NotifyPayload;
  /** Texts of a mail. They are made only for a receiver that gets one. */
  readonly mailTexts: () => Promise<MailTexts>;
}

const EVENT_WORDS: Readonly<Record<NotifyPayload['event'], string>> = {
  failure: 'FAILED',
  warning: 'WARNING',
  success: 'OK',
  recovered: 'RECOVERED',
  missed: 'MISSED',
  test: 'TEST',
};
/** Mail servers refuse large messages, often above 10 MiB after encoding. */
const MAX_PAGE_BYTES = 4 * 1024 * 1024;

/** Steps that failed, then those with warnings. */
function stepWords(report: RunReport): string[] {
  const steps = workStepsOf(report);
  const ofOutcome = (wanted: StepFacts['outcome']): string[] =>
    steps.filter(({ outcome }) => outcome === wanted).map(({ name }) => name);
  const failed = [...report.failedSteps.map(({ step }) => step), ...ofOutcome('failure')];
  return [
    ...[...new Set(failed)].map((step) => `${step} failed`),
    ...ofOutcome('warning').map((step) => `${step} with warnings`),
  ];
}

/** `12 VMs, 1 failed, 2 with warnings, prune failed, copy with warnings`. */
function countsOf(report: RunReport): string {
  const { vms } = report;
  const count = (outcome: string): number => vms.filter((vm) => vm.outcome === outcome).length;
  const parts = [
    [count('failure'), 'failed'],
    [count('notStarted'), 'not started'],
    [count('warning'), 'with warnings'],
  ] as const;
  const told = parts.filter(([some]) => some > 0).map(([some, words]) => `${some} ${words}`);
  return [counted(vms.length, 'VM'), ...told, ...stepWords(report)].join(', ');
}

type Told = Pick<NotifyPayload, 'id' | 'event' | 'job'>;

function payloadOf(told: Told, facts: string, now: Date): NotifyPayload {
  const text = printable(`${EVENT_WORDS[told.event]}: ${told.job} (${facts})`);
  return { version: 1, ...told, host: hostname(), time: now.toISOString(), text };
}

/**
 * @param id - of the notification.
 * @param lastPoints - last good points, as they were before the run.
 */
export function runNotice(
  id: string,
  event: NotifyEvent,
  report: RunReport,
  lastPoints: readonly VmState[],
  now: Date,
  engineUrl: string,
): Notice {
  const told = { id, event, job: report.jobName };
  const payload = { ...payloadOf(told, countsOf(report), now), run: runPayload(report) };
  return { payload, mailTexts: async () => await runTexts(report, lastPoints, now, engineUrl) };
}

async function runTexts(
  report: RunReport,
  lastPoints: readonly VmState[],
  now: Date,
  engineUrl: string,
): Promise<MailTexts> {
  const [{ runText }, { runMailHtml }, { runPage }] = await Promise.all([
    import('../../report/runText.ts'),
    import('../../report/runMailHtml.ts'),
    import('../../report/runPage.ts'),
  ]);
  const origin = { host: hostname(), engineUrl };
  const text = runText(report, lastPoints, origin);
  const html = runMailHtml(report, lastPoints, origin);
  const page = runPage(report, lastPoints, now, origin);
  if (Buffer.byteLength(page) > MAX_PAGE_BYTES) {
    const note = `The page of this run is too large for a mail. "ovirt-cbt report --job ${report.jobName}" makes it.`;
    return { text: `${text}\n\n${note}`, html };
  }
  const time = report.startedAt.slice(0, 16).replaceAll(/[^\dT]/g, '');
  return { text, html, page: { fileName: `${report.jobName}-${time}.html`, html: page } };
}

export function missedNotice(id: string, job: string, slots: readonly Date[], now: Date): Notice {
  const times = slots.map((slot) => slot.toISOString());
  const facts = `${counted(slots.length, 'run')} not started`;
  const payload = payloadOf({ id, event: 'missed', job }, facts, now);
  const lines = [
    `Job ${job} on ${payload.host} was not started at these times of its schedule:`,
    '',
    ...times.map((time) => `  ${time}`),
    '',
    'Check whether the service or the machine was down, or whether the run before took too long.',
    `"ovirt-cbt run ${job}" starts a run now.`,
  ];
  return {
    payload: { ...payload, missedSlots: times },
    mailTexts: async () => ({ text: lines.join('\n') }),
  };
}

export function testNotice(id: string, job: string, now: Date): Notice {
  const payload = payloadOf({ id, event: 'test', job }, 'a test, nothing has happened', now);
  const text = `This is a test of the notifications of job ${job} on ${payload.host}. Nothing has happened.`;
  return { payload, mailTexts: async () => ({ text }) };
}
