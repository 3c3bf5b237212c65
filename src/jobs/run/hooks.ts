/** Programs that a job starts before and after its sessions. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { toOutputError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { HookConfig } from '../jobFile.ts';
import { programProblem, runProgram } from '../program.ts';
import type { HookResult, RunReport } from '../runReport.ts';

/** Time of the hooks after a run that was stopped. */
const STOPPED_MS = 30_000;

export interface HookContext {
  readonly when: HookResult['when'];
  /** `OVIRT_CBT_JOB` and others. */
  readonly environment: Readonly<Record<string, string>>;
  readonly logger: Logger;
  /** Ends the hook as its time limit does. */
  readonly signal: AbortSignal;
}

/** How a hook ended, for its result and for the error of the run. */
export interface EndedHook {
  readonly result: HookResult;
  /** Undefined when it ended with exit code 0. */
  readonly problem: string | undefined;
}

/** Runs a hook. Its output goes into the log. */
export async function runHook(hook: HookConfig, context: HookContext): Promise<EndedHook> {
  const { command, timeoutMs } = hook;
  const { when, environment, logger, signal } = context;
  const ended = await runProgram({ command, timeoutMs, environment, signal });
  const problem = programProblem(ended, timeoutMs);
  const { exitCode, timedOut, durationSeconds, output } = ended;
  const [program = ''] = command;
  const facts = { hook: program, when, exitCode, problem, output };
  logger[problem === undefined ? 'info' : 'error'](facts, 'hook ended');
  return { result: { when, program, exitCode, durationSeconds, timedOut }, problem };
}

/** The signal of hooks after a run: a stopped run gives them a little time. */
export function afterHookSignal(signal: AbortSignal): AbortSignal {
  return signal.aborted ? AbortSignal.timeout(STOPPED_MS) : new AbortController().signal;
}

/**
 * Calls `work` with the path of a file that holds the report as JSON. Only this user can read it,
 * and it is deleted afterwards.
 *
 * @throws {@link OutputError} `OUTPUT_IO`, `OUTPUT_FULL` when it cannot be written
 */
export async function withReportFile(
  report: RunReport,
  work: (file: string) => Promise<void>,
): Promise<void> {
  const place = tmpdir();
  const folder = await guardOutput(place, () => mkdtemp(path.join(place, 'ovirt-cbt-run-')));
  try {
    const file = path.join(folder, 'report.json');
    const text = JSON.stringify(report, null, 2);
    await guardOutput(file, () => writeFile(file, text, { mode: 0o600 }));
    await work(file);
  } finally {
    // The folder is this user's alone. What the hooks did counts more than a file that is left.
    await rm(folder, { recursive: true, force: true }).catch(() => {});
  }
}

async function guardOutput<T>(target: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toOutputError(target, error);
  }
}
