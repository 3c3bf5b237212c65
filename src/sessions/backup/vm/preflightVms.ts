/** Preflight of several VMs: one login, a report for each. */
import { toFailure } from '../../../core/errors.ts';
import { type FailedSession, failedSession } from '../vmRunner.ts';
import {
  loginForPreflight,
  type PreflightOptions,
  type PreflightReport,
  preflightOn,
} from './preflightVm.ts';
import { noteUnused, selectVms, type VmSelection } from './vmSelection.ts';

export interface PreflightVmsOptions extends Omit<PreflightOptions, 'vm'> {
  readonly select: VmSelection;
}

export interface PreflightJobReport {
  readonly type: 'preflight_job';
  readonly reports: readonly PreflightReport[];
  /** VMs whose next session could not be planned. */
  readonly failures: readonly FailedSession[];
}

/**
 * Plans the next session of each selected VM, one after the other. One VM that fails does not stop
 * the others.
 *
 * @throws a {@link BackupError} when no VM could be planned
 */
export async function preflightVms(options: PreflightVmsOptions): Promise<PreflightJobReport> {
  const signal = options.signal ?? new AbortController().signal;
  try {
    await using engine = await loginForPreflight(options, signal);
    const selected = await selectVms(engine, options.select);
    noteUnused(selected, options);
    const reports: PreflightReport[] = [];
    const failures: FailedSession[] = [];
    for (const vm of selected.vms) {
      try {
        reports.push(await preflightOn(engine, { ...options, vm }));
      } catch (error) {
        signal.throwIfAborted();
        const failure = toFailure(error, signal);
        if (selected.vms.length === 1) throw failure;
        failures.push(failedSession(vm, failure));
      }
    }
    return { type: 'preflight_job', reports, failures };
  } catch (error) {
    throw toFailure(error, options.signal);
  }
}
