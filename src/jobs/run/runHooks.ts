/** The hooks of one run, in order. The first one that fails ends its list. */
import { OutputError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { JobConfig } from '../jobFile.ts';
import type { HookResult, RunReport } from '../runReport.ts';
import { afterHookSignal, type HookContext, runHook, withReportFile } from './hooks.ts';

export interface RunHooksOptions {
  readonly job: JobConfig;
  readonly runId: string;
  readonly trigger: RunReport['trigger'];
  readonly signal: AbortSignal;
}

export class RunHooks {
  readonly #options: RunHooksOptions;
  readonly #logger: Logger;
  readonly #results: HookResult[] = [];

  constructor(options: RunHooksOptions, logger: Logger) {
    this.#options = options;
    this.#logger = logger;
  }

  get results(): readonly HookResult[] {
    return [...this.#results];
  }

  /**
   * Runs the hooks before the sessions. When one fails, nothing is backed up.
   *
   * @throws {@link OutputError} `HOOK_FAILED`
   */
  async before(): Promise<void> {
    const { signal } = this.#options;
    await this.#all('before', this.#variables, signal);
    signal.throwIfAborted();
  }

  /**
   * Runs the hooks after the sessions, also when the run failed or was stopped.
   *
   * @throws {@link OutputError} `HOOK_FAILED`; as `withReportFile`
   */
  async after(report: RunReport): Promise<void> {
    const { job, signal } = this.#options;
    if (job.hooks.after.length === 0) return;
    await withReportFile(report, async (file) => {
      const variables = {
        ...this.#variables,
        OVIRT_CBT_OUTCOME: report.outcome,
        OVIRT_CBT_REPORT: file,
      };
      await this.#all('after', variables, afterHookSignal(signal));
    });
  }

  get #variables(): Readonly<Record<string, string>> {
    const { job, runId, trigger } = this.#options;
    return {
      OVIRT_CBT_JOB: job.name,
      OVIRT_CBT_RUN_ID: runId,
      OVIRT_CBT_TRIGGER: trigger,
      OVIRT_CBT_REPOSITORY: job.repository.place,
    };
  }

  async #all(
    when: HookResult['when'],
    environment: HookContext['environment'],
    signal: AbortSignal,
  ): Promise<void> {
    for (const hook of this.#options.job.hooks[when]) {
      const ended = await runHook(hook, { when, environment, logger: this.#logger, signal });
      this.#results.push(ended.result);
      if (ended.problem === undefined) continue;
      const text = `hook "${ended.result.program}" ${when} the run: ${ended.problem}`;
      throw new OutputError('HOOK_FAILED', text, {
        hint: 'run the program by hand; its output is in the log (--log-file, --log-level info)',
      });
    }
  }
}
