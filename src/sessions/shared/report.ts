/**
 * Reports of sessions. Tables, --json and the library use the same shape. Names carry the units.
 */
import type { SessionMessage } from '../../core/messages.ts';
import { createStageStats, LIMIT_STAGE, type StageStats } from '../../core/stats.ts';
import type { BlockMap } from '../../container/write/blockTally.ts';
import type { DiskMode } from '../../flow/records.ts';
import type { RestorePoint, VmIdentity } from '../../repository/restorePoint.ts';

/** Counters of one disk's pipeline, updated while the session works. */
export interface DiskStages {
  readonly extents: StageStats;
  readonly read: StageStats;
  readonly hash: StageStats;
  readonly compress: StageStats;
  readonly write: StageStats;
}

/** Busy seconds of each stage. `wait` is the time that the reader waited for later stages. */
export interface StageSeconds {
  readonly extents: number;
  readonly read: number;
  readonly hash: number;
  readonly compress: number;
  readonly write: number;
  readonly wait: number;
  /** Reads waited for the limit of the rate, and none was under way. Absent without a limit. */
  readonly limit?: number | undefined;
}

export interface DiskReport {
  readonly diskId: string;
  readonly alias: string;
  readonly mode: DiskMode;
  readonly reason: string;
  readonly sizeBytes: number;
  /** Bytes that the extents call data. The rest is zero or clean and is not read. */
  readonly allocatedBytes: number;
  readonly readBytes: number;
  readonly zeroBytes: number;
  readonly unchangedBytes: number;
  /** Bytes of blocks recorded as data, before compression. */
  readonly changedBytes: number;
  readonly duplicateBlocks: number;
  /** Bytes of these blocks as stored, without the padding to clusters of 4096 bytes. */
  readonly storedBytes: number;
  /** changedBytes / storedBytes; 0 when nothing was stored. */
  readonly reductionRatio: number;
  readonly seconds: StageSeconds;
  readonly wallSeconds: number;
  /** Bytes read per second. The size of the disk does not count. */
  readonly readBytesPerSecond: number;
  /** Only for a disk whose change map was audited. */
  readonly audit?: AuditReport | undefined;
  /** Where on the disk the changes lie. Absent in reports of older versions. */
  readonly blockMap?: BlockMap | undefined;
}

/**
 * Audit of blocks that the engine calls unchanged: they are read and compared with the parent
 * point.
 */
export interface AuditReport {
  readonly auditedBlocks: number;
  readonly mismatchedBlocks: number;
  /** Bytes read by the audit. `readBytes` of the disk does not include them. */
  readonly readBytes: number;
  readonly seconds: number;
}

/** Report of the engine's part. Ids are empty when there is no checkpoint. */
export interface EngineReport {
  readonly backupId: string;
  readonly fromCheckpointId: string;
  /** Base of the next session. */
  readonly toCheckpointId: string;
  /** 2 when the backup was started a second time, without a checkpoint. Otherwise 1. */
  readonly backupsStarted: number;
  /** Seconds from the request of the backup until its frozen view was ready. */
  readonly startSeconds: number;
  readonly finalizeSeconds: number;
  readonly leftOut: readonly {
    readonly diskId: string;
    readonly alias: string;
    readonly cause: string;
  }[];
}

/** Damage that a session healed, and damage that stays. */
export interface HealingReport {
  /** Blocks that this point stores again because their stored bytes were damaged. */
  readonly blockCount: number;
  /** Ids of older restore points that stay damaged, oldest first. */
  readonly damagedPointIds: readonly string[];
}

export interface SessionReport {
  readonly type: 'backup';
  readonly sessionId: string;
  readonly vmName: string;
  readonly vmId: string;
  readonly repository: string;
  readonly fileName: string;
  readonly fileBytes: number;
  readonly pointId: string;
  readonly pointType: 'full' | 'increment';
  readonly pointNumber: number;
  readonly parentPointId: string;
  readonly startedAt: string;
  readonly durationSeconds: number;
  /** Seconds outside the pipelines of the disks: opening, checking the parent, metadata, commit. */
  readonly overheadSeconds: number;
  readonly commitSeconds: number;
  /** Busiest stage, or limit of the rate. Its share of the pipelines' wall time is 0 to 1. */
  readonly bottleneck: { readonly stage: string; readonly busyRatio: number };
  readonly disks: readonly DiskReport[];
  readonly messages: readonly SessionMessage[];
  /** Only for VMs of an engine. */
  readonly engine?: EngineReport | undefined;
  /** Only when damage of the chain is recorded. */
  readonly healing?: HealingReport | undefined;
  /** Time until which nobody may delete the container, ISO 8601. Absent without a lock. */
  readonly lockedUntil?: string | undefined;
}

export function createDiskStages(): DiskStages {
  return {
    extents: createStageStats(),
    read: createStageStats(),
    hash: createStageStats(),
    compress: createStageStats(),
    write: createStageStats(),
  };
}

const MS = 1000;

/** @param limitMs - part of the time of reads, in which they only waited for the limit. */
export function stageSeconds(stages: DiskStages, limitMs?: number): StageSeconds {
  return {
    extents: stages.extents.busyMs / MS,
    read: Math.max(0, stages.read.busyMs - (limitMs ?? 0)) / MS,
    hash: stages.hash.busyMs / MS,
    compress: stages.compress.busyMs / MS,
    write: stages.write.busyMs / MS,
    wait: stages.read.waitSlotMs / MS,
    ...(limitMs === undefined ? {} : { limit: limitMs / MS }),
  };
}

/**
 * Finds the busiest of source, limit of the rate, CPU and repository over the wall time of the
 * pipelines. All but the CPU work for several disks at the same time. So their busy time is divided
 * by the number of parallel disks.
 */
export function findBottleneck(
  disks: readonly DiskReport[],
  wallSeconds: number,
  parallelDisks: number,
): SessionReport['bottleneck'] {
  const lanes = Math.max(1, Math.min(parallelDisks, disks.length));
  const sum = (pick: (seconds: StageSeconds) => number): number =>
    disks.reduce((total, disk) => total + pick(disk.seconds), 0);
  const busy = {
    'source (extents, read)': sum((s) => s.extents + s.read) / lanes,
    [LIMIT_STAGE]: sum((s) => s.limit ?? 0) / lanes,
    'cpu (hash, compress)': sum((s) => s.hash + s.compress),
    'repository (write)': sum((s) => s.write) / lanes,
  };
  const [stage, seconds] = Object.entries(busy).reduce((a, b) => (b[1] > a[1] ? b : a));
  return { stage, busyRatio: wallSeconds > 0 ? Math.min(1, seconds / wallSeconds) : 0 };
}

export interface SessionFacts {
  readonly sessionId: string;
  readonly vm: VmIdentity;
  readonly repository: string;
  readonly startedAt: Date;
  readonly startedAtMs: number;
  readonly pipelineSeconds: number;
  readonly commitSeconds: number;
  readonly parallelDisks: number;
  readonly messages: readonly SessionMessage[];
  readonly engine?: EngineReport | undefined;
  readonly healing?: HealingReport | undefined;
}

export function reportSession(
  facts: SessionFacts,
  point: RestorePoint,
  disks: readonly DiskReport[],
): SessionReport {
  const { sessionId, vm, repository, commitSeconds, messages, engine, healing } = facts;
  const durationSeconds = (performance.now() - facts.startedAtMs) / MS;
  return {
    type: 'backup',
    sessionId,
    vmName: vm.name,
    vmId: vm.id,
    repository,
    fileName: point.fileName,
    fileBytes: point.fileBytes,
    pointId: point.pointId,
    pointType: point.type,
    pointNumber: point.number,
    parentPointId: point.parentPointId,
    startedAt: facts.startedAt.toISOString(),
    durationSeconds,
    overheadSeconds: durationSeconds - facts.pipelineSeconds,
    commitSeconds,
    bottleneck: findBottleneck(disks, facts.pipelineSeconds, facts.parallelDisks),
    disks,
    messages,
    ...(engine ? { engine } : {}),
    ...(healing ? { healing } : {}),
    ...(point.lockedUntil === undefined ? {} : { lockedUntil: point.lockedUntil }),
  };
}
