/** Data that the parts of a VM session share. */
import type { SessionMessage } from '../../../core/messages.ts';
import type { Logger } from '../../../core/log.ts';
import type { Compression } from '../../../compute/compression.ts';
import type { BlockCodecs } from '../../../compute/blockCodecs.ts';
import type { EngineApi } from '../../../ovirt/engine/engineApi.ts';
import type { Vm } from '../../../ovirt/engine/entities.ts';
import type { Journal } from '../../../repository/journal.ts';
import type { Repository } from '../../../repository/repository.ts';
import type { Pace } from '../../shared/rateLimit.ts';
import type { ProgressEvent } from '../../shared/progress.ts';
import type { CheckedParent } from '../parent/parentPoint.ts';
import type { SessionMode } from '../parent/parentChoice.ts';
import type { LockedChain, SessionIdentity } from '../storePoint.ts';
import type { DiskSelection } from './vmInventory.ts';
import type { VmPlan } from './vmPlan.ts';

export interface BackupVmOptions {
  readonly engine: EngineApi;
  readonly repository: Repository;
  readonly codecs: BlockCodecs;
  /** Name or id. */
  readonly vm: string;
  readonly mode: SessionMode;
  readonly disks: DiskSelection;
  readonly blockSizeBytes?: number | undefined;
  readonly workers?: number | undefined;
  readonly compression?: Compression | undefined;
  /** Data requests at once per disk. */
  readonly connections: number;
  readonly requireConsistency: boolean;
  readonly partialReads: boolean;
  /** Share of the unchanged blocks that an audit reads, above 0 and at most 1. */
  readonly auditRatio?: number | undefined;
  /** Limits the bytes that all sessions of a job read. */
  readonly pace?: Pace | undefined;
  readonly signal: AbortSignal;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
  readonly onStatus?: ((text: string) => void) | undefined;
}

/** One VM session. Its engine client sends the session id with each request. */
export interface VmContext extends SessionIdentity {
  readonly options: BackupVmOptions;
  readonly engine: EngineApi;
}

/** The VM and its chain, locked by this session. */
export interface VmChain extends LockedChain {
  readonly vm: Vm;
  readonly journal: Journal;
}

/** How the VM is read. */
export interface VmTask {
  readonly plan: VmPlan;
  readonly parent: CheckedParent | undefined;
  readonly blockSizeBytes: number;
  /** Of all planned disks. */
  readonly allocatedBytes: number;
  /** The VM's configuration; undefined when the engine does not give it. */
  readonly ovf: string | undefined;
}
