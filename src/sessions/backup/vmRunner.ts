/** Runs single backup sessions of VMs over one login and one open repository. */
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import type { Compression } from '../../compute/compression.ts';
import { checkCompression } from '../../compute/compression.ts';
import { checkBlockSize } from '../../container/write/containerWriter.ts';
import type { BackupError, ErrorCode } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import type { EngineSettings } from '../../ovirt/connection.ts';
import { EngineApi } from '../../ovirt/engine/engineApi.ts';
import { DEFAULT_TIMINGS } from '../../ovirt/timings.ts';
import type { Repository } from '../../repository/repository.ts';
import { checkConnections, checkRatio, DEFAULT_CONNECTIONS } from '../shared/pipelineResources.ts';
import type { ProgressEvent } from '../shared/progress.ts';
import { checkRate, createRateLimit } from '../shared/rateLimit.ts';
import type { SessionReport } from '../shared/report.ts';
import { createWaitTexts } from '../shared/waitText.ts';
import type { SessionMode } from './parent/parentChoice.ts';
import { diskSelection } from './vm/vmInventory.ts';
import { backupVm } from './vm/vmSession.ts';

/** How sessions read and store VMs. */
export interface VmSessionOptions {
  /** @defaultValue auto */
  readonly mode?: SessionMode | undefined;
  /** Only these disks, by id or alias. @defaultValue all that can be read */
  readonly disks?: readonly string[] | undefined;
  readonly excludeDisks?: readonly string[] | undefined;
  /** Ids, aliases or patterns of disks that are left out. One that fits no disk is no error. */
  readonly excludeDiskPatterns?: readonly string[] | undefined;
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
  /** How long a session waits for a VM that is busy or migrates. @defaultValue 15 minutes */
  readonly waitMs?: number | undefined;
  /** The longest such wait that is still possible in milliseconds, asked when a wait begins. */
  readonly mostWaitMs?: (() => number) | undefined;
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
  /**
   * Most bytes that all sessions together read from image servers in a second, above 0.
   *
   * @defaultValue no limit
   */
  readonly bytesPerSecond?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  /** Gets a text that says what a session waits for. */
  readonly onStatus?: ((text: string) => void) | undefined;
}

/** A VM whose session is to run. */
export interface RunnableVm {
  /** How the engine finds the VM: its name, or its id where the name is not unique. */
  readonly label: string;
  /** Empty when the engine does not know the VM. */
  readonly vmId: string;
}

export interface RunnerCall {
  readonly signal: AbortSignal;
  /** Counts the sessions of this VM in this run, from 1. */
  readonly attempt: number;
}

/** Something that backs up one VM at a time, wherever the work is done. */
export interface VmRunner {
  /**
   * Runs one session. Sessions of different VMs may run at once.
   *
   * @throws a {@link BackupError}; the restore points before it stay as they were
   */
  backup(vm: RunnableVm, call: RunnerCall): Promise<SessionReport>;
}

/** What all sessions share. It stays the caller's, who closes it after the last session. */
export interface VmRunnerParts {
  readonly engine: EngineApi;
  readonly repository: Repository;
  readonly codecs: BlockCodecs;
}

export interface FailedSession {
  readonly vmName: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

/** Errors of the engine or the caller: trying the next VM would be pointless or harmful. */
export const FINAL_CODES: ReadonlySet<ErrorCode> = new Set([
  'ENGINE_AUTH_REFUSED',
  'ENGINE_TLS_UNTRUSTED',
  'CANCELLED',
  'REPOSITORY_NOT_FOUND',
]);

/** @throws {@link UsageError} `USAGE_INVALID_OPTION`, `USAGE_CODEC_NOT_NATIVE` */
export function checkSessionOptions(options: VmSessionOptions, codecs: BlockCodecs): void {
  if (options.blockSizeBytes !== undefined) checkBlockSize(options.blockSizeBytes);
  checkConnections(options.connections);
  if (options.auditRatio !== undefined) checkRatio('audit', options.auditRatio);
  checkRate(options.bytesPerSecond);
  checkCompression(options.compression, codecs.lz4);
}

/** A login for sessions. The caller closes it. */
export async function loginForSessions(
  settings: EngineSettings,
  options: VmSessionOptions,
): Promise<EngineApi> {
  const { logger, signal, onStatus } = options;
  const onWait = createWaitTexts(onStatus, () => '');
  return await EngineApi.connect(withWait(settings, options), { logger, signal, onWait });
}

function withWait(
  settings: EngineSettings,
  { waitMs, mostWaitMs = () => Infinity }: VmSessionOptions,
): EngineSettings {
  const timings = settings.timings ?? DEFAULT_TIMINGS;
  const longestMs = waitMs ?? timings.startRetryWindowMs;
  const bounded = {
    ...timings,
    // Each session reads it anew, so the end of a window counts for the later ones too.
    get startRetryWindowMs() {
      return Math.max(0, Math.min(longestMs, mostWaitMs()));
    },
  };
  return { ...settings, timings: bounded };
}

/** Makes a runner whose sessions run in this process. They share one limit of the rate. */
export function createVmRunner(parts: VmRunnerParts, options: VmSessionOptions): VmRunner {
  const { bytesPerSecond, signal = new AbortController().signal } = options;
  const pace = bytesPerSecond === undefined ? undefined : createRateLimit(bytesPerSecond, signal);
  const common = {
    ...options,
    ...parts,
    pace,
    mode: options.mode ?? 'auto',
    disks: diskSelection(options),
    connections: options.connections ?? DEFAULT_CONNECTIONS,
    requireConsistency: options.requireConsistency ?? false,
    partialReads: options.partialReads ?? false,
  };
  return {
    backup: async ({ label }, own) => await backupVm({ ...common, vm: label, signal: own.signal }),
  };
}

/** A VM whose session failed, for a report. */
export function failedSession(vmName: string, failure: BackupError): FailedSession {
  const { code, message, hint } = failure;
  return { vmName, code, message, hint };
}
