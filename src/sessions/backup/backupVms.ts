/** Backup sessions over VMs of an engine: one login, a few sessions at once, a result for each. */
import { UsageError, toFailure } from '../../core/errors.ts';
import type { EngineSettings } from '../../ovirt/connection.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import { createBlockCodecs } from '../../compute/blockCodecs.ts';
import { requireNativeLz4 } from '../../compute/lz4Binding.ts';
import { startRepository } from '../shared/startRepository.ts';
import { noteUnused, selectVms, type VmSelection } from './vm/vmSelection.ts';
import type { SessionReport } from '../shared/report.ts';
import { checkRange, forEachLimited } from '../shared/pipelineResources.ts';
import type { StoreOptions } from '../../store/store.ts';
import {
  checkSessionOptions,
  createVmRunner,
  type FailedSession,
  failedSession,
  FINAL_CODES,
  loginForSessions,
  type VmSessionOptions,
} from './vmRunner.ts';

export type { FailedSession } from './vmRunner.ts';

export interface BackupVmsOptions extends VmSessionOptions {
  readonly engine: EngineSettings;
  /** Names or ids. A session for each; one that the engine does not know fails alone. */
  readonly vms?: readonly string[] | undefined;
  /** Selects VMs on the engine, in addition to `vms`. */
  readonly select?: VmSelection | undefined;
  /** Repository folder. A folder that is new or empty becomes a repository. */
  readonly repository: string;
  /** How the place of the repository is used. */
  readonly store?: StoreOptions | undefined;
  /** VMs whose sessions run at once. @defaultValue 2 */
  readonly parallelVms?: number | undefined;
  readonly strict?: boolean | undefined;
}

export interface JobReport {
  readonly type: 'job';
  /** Sessions that committed a restore point. */
  readonly sessions: readonly SessionReport[];
  readonly failures: readonly FailedSession[];
}

const DEFAULT_PARALLEL_VMS = 2;

function checkOptions(options: BackupVmsOptions): void {
  if ((options.vms ?? []).length === 0 && options.select === undefined) {
    throw new UsageError('USAGE_INVALID_OPTION', 'no VM given', { hint: 'use --vm NAME' });
  }
  checkRange('parallel VMs', options.parallelVms ?? DEFAULT_PARALLEL_VMS, 16);
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` for a selection of disks of several VMs */
function checkDisks(options: BackupVmsOptions, vms: readonly string[]): void {
  const named = [...(options.disks ?? []), ...(options.excludeDisks ?? [])];
  if (named.length > 0 && vms.length > 1) {
    throw new UsageError('USAGE_INVALID_OPTION', 'disks can be selected for a single VM only', {
      hint: 'run one command per VM',
    });
  }
}

/** The VMs of a job, each once, in the order of their sessions. */
async function vmsOf(engine: EngineApi, options: BackupVmsOptions): Promise<readonly string[]> {
  const { vms = [], select } = options;
  const selected = select ? await selectVms(engine, select) : undefined;
  if (selected) noteUnused(selected, options);
  return [...new Set([...vms, ...(selected?.vms ?? [])])];
}

/**
 * Backs up VMs. One VM that fails does not stop the others; its failure is in the report.
 *
 * @throws a {@link BackupError} when no VM could be tried, or when there is just one and it failed
 */
export async function backupVms(options: BackupVmsOptions): Promise<JobReport> {
  checkOptions(options);
  checkDisks(options, options.vms ?? []);
  const signal = options.signal ?? new AbortController().signal;
  const codecs = await createBlockCodecs();
  if (options.strict) requireNativeLz4(codecs.lz4, 'leave out --strict');
  checkSessionOptions(options, codecs);
  try {
    await using engine = await loginForSessions(options.engine, { ...options, signal });
    const vms = await vmsOf(engine, options);
    checkDisks(options, vms);
    await using repository = await startRepository(options.repository, options);
    const runner = createVmRunner({ engine, repository, codecs }, { ...options, signal });
    const sessions: SessionReport[] = [];
    const failures: FailedSession[] = [];
    const { parallelVms = DEFAULT_PARALLEL_VMS } = options;
    await forEachLimited(vms, parallelVms, async (vm) => {
      try {
        sessions.push(await runner.backup({ label: vm, vmId: '' }, { signal, attempt: 1 }));
      } catch (error) {
        const failure = toFailure(error, signal);
        // Sessions that have committed must be reported.
        const isFinal = FINAL_CODES.has(failure.code) && sessions.length === 0;
        if (vms.length === 1 || isFinal) throw failure;
        failures.push(failedSession(vm, failure));
      }
    });
    return { type: 'job', sessions, failures };
  } catch (error) {
    throw toFailure(error, options.signal);
  }
}
