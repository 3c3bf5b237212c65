/** Backup sessions over VMs of an engine: one login, a few sessions at once, a result for each. */
import type { BackupVmOptions } from './vm/vmContext.ts';
import { checkBlockSize } from '../../container/write/containerWriter.ts';
import { BackupError, type ErrorCode, toFailure, UsageError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import type { EngineSettings } from '../../ovirt/connection.ts';
import { EngineApi } from '../../ovirt/engine/engineApi.ts';
import { DEFAULT_TIMINGS } from '../../ovirt/timings.ts';
import { createBlockCodecs } from '../../compute/blockCodecs.ts';
import { checkCompression, type Compression } from '../../compute/compression.ts';
import { requireNativeLz4 } from '../../compute/lz4Binding.ts';
import { createWaitTexts } from '../shared/waitText.ts';
import { startRepository } from '../shared/startRepository.ts';
import type { ProgressEvent } from '../shared/progress.ts';
import { noteUnused, selectVms, type VmSelection } from './vm/vmSelection.ts';
import { backupVm } from './vm/vmSession.ts';
import type { SessionMode } from './parent/parentChoice.ts';
import type { SessionReport } from '../shared/report.ts';
import {
  checkConnections,
  checkRange,
  checkRatio,
  DEFAULT_CONNECTIONS,
  forEachLimited,
} from '../shared/pipelineResources.ts';
import type { StoreOptions } from '../../store/store.ts';

export interface BackupVmsOptions {
  readonly engine: EngineSettings;
  /** Names or ids. A session for each; one that the engine does not know fails alone. */
  readonly vms?: readonly string[] | undefined;
  /** Selects VMs on the engine, in addition to `vms`. */
  readonly select?: VmSelection | undefined;
  /** Repository folder. A folder that is new or empty becomes a repository. */
  readonly repository: string;
  /** How the place of the repository is used. */
  readonly store?: StoreOptions | undefined;
  /** @defaultValue auto */
  readonly mode?: SessionMode | undefined;
  /** Only these disks, by id or alias. @defaultValue all that can be read */
  readonly disks?: readonly string[] | undefined;
  readonly excludeDisks?: readonly string[] | undefined;
  /** @defaultValue as in the chain; for a full 1 MiB, or 4 MiB above 128 GiB of data */
  readonly blockSizeBytes?: number | undefined;
  /**
   * `none` stores every block plain. `high` stores fewer bytes for much more CPU time, and needs
   * the native LZ4 build. Every session may choose anew. @defaultValue default
   */
  readonly compression?: Compression | undefined;
  readonly workers?: number | undefined;
  /** Data requests at once per disk, 1 to 8, limited by what the server allows. @defaultValue 4 */
  readonly connections?: number | undefined;
  /** VMs whose sessions run at once. @defaultValue 2 */
  readonly parallelVms?: number | undefined;
  /** How long a session waits for a VM that is busy or migrates. @defaultValue 15 minutes */
  readonly waitMs?: number | undefined;
  /**
   * Fails when the guest's file systems cannot be frozen. Only engines with live backups heed it.
   */
  readonly requireConsistency?: boolean | undefined;
  /**
   * In incremental mode, reads only the dirty bytes of a block from the engine. The rest comes from
   * the parent point and is checked. This saves traffic when changes are much smaller than a block.
   * A session that audits reads whole blocks. @defaultValue false
   */
  readonly partialReads?: boolean | undefined;
  /**
   * Audits change maps: this share of the unchanged blocks is read and compared with the parent
   * point. Above 0 and at most 1; at least one block of each disk. @defaultValue no audit
   */
  readonly auditRatio?: number | undefined;
  readonly strict?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  /** Gets a text that says what a session waits for. */
  readonly onStatus?: ((text: string) => void) | undefined;
}

export interface FailedSession {
  readonly vmName: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
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
  if (options.blockSizeBytes !== undefined) checkBlockSize(options.blockSizeBytes);
  checkConnections(options.connections);
  if (options.auditRatio !== undefined) checkRatio('audit', options.auditRatio);
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

function settingsOf(options: BackupVmsOptions): EngineSettings {
  const { engine, waitMs } = options;
  if (waitMs === undefined) return engine;
  const timings = { ...(engine.timings ?? DEFAULT_TIMINGS), startRetryWindowMs: waitMs };
  return { ...engine, timings };
}

/** Errors of the engine or the caller: trying the next VM would be pointless or harmful. */
const FINAL_CODES = new Set<ErrorCode>([
  'ENGINE_AUTH_REFUSED',
  'ENGINE_TLS_UNTRUSTED',
  'CANCELLED',
  'REPOSITORY_NOT_FOUND',
]);

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
  checkCompression(options.compression, codecs.lz4);
  const { logger } = options;
  try {
    const onWait = createWaitTexts(options.onStatus, () => '');
    const login = { logger, signal, onWait };
    await using engine = await EngineApi.connect(settingsOf(options), login);
    const vms = await vmsOf(engine, options);
    checkDisks(options, vms);
    await using repository = await startRepository(options.repository, options);
    const sessions: SessionReport[] = [];
    const failures: FailedSession[] = [];
    const { parallelVms = DEFAULT_PARALLEL_VMS } = options;
    await forEachLimited(vms, parallelVms, async (vm) => {
      const session: BackupVmOptions = {
        ...options,
        engine,
        repository,
        codecs,
        vm,
        mode: options.mode ?? 'auto',
        disks: { only: options.disks ?? [], exclude: options.excludeDisks ?? [] },
        connections: options.connections ?? DEFAULT_CONNECTIONS,
        requireConsistency: options.requireConsistency ?? false,
        partialReads: options.partialReads ?? false,
        signal,
      };
      try {
        sessions.push(await backupVm(session));
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

/** A VM whose session failed, for a report. */
export function failedSession(vmName: string, failure: BackupError): FailedSession {
  const { code, message, hint } = failure;
  return { vmName, code, message, hint };
}
