/** What a session leaves in the folder of its VM. Another version may have written it. */
import { z } from 'zod';
import type { SessionMessage } from '../../core/messages.ts';
import type { SessionReport } from '../shared/report.ts';

export const SESSION_TYPES = [
  'backup',
  'copy',
  'prune',
  'restore',
  'synthesize',
  'verify',
] as const;
export type SessionType = (typeof SESSION_TYPES)[number];

interface SessionHeader {
  readonly type: SessionType;
  readonly sessionId: string;
  readonly vmName: string;
  readonly vmId: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly durationSeconds: number;
}

/** A session that failed, or that found damage. */
export interface FailedRecord extends SessionHeader {
  readonly outcome: 'failed';
  /** One of the error codes. */
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly messages: readonly SessionMessage[];
  /** Of a session that reached its end: a verify with damage, a copy or prune done in part. */
  readonly report?: Readonly<Record<string, unknown>> | undefined;
}

/** A backup that committed a restore point. */
export interface BackupRecord extends SessionHeader {
  readonly type: 'backup';
  readonly outcome: 'ok';
  readonly report: SessionReport;
}

/** Another session that did all of its work. Its report is not checked further. */
export interface OtherRecord extends SessionHeader {
  readonly type: Exclude<SessionType, 'backup'>;
  readonly outcome: 'ok';
  readonly report: Readonly<Record<string, unknown>>;
}

export type SessionRecord = BackupRecord | OtherRecord | FailedRecord;

const text = z.string();
const number = z.number();

export const messageSchema: z.ZodType<SessionMessage> = z.object({
  code: text,
  level: z.enum(['info', 'warn', 'error']),
  text,
  resolution: text,
});

const diskSchema = z.looseObject({
  diskId: text,
  alias: text,
  mode: z.enum(['full', 'incremental', 'compare']),
  reason: text,
  sizeBytes: number,
  allocatedBytes: number,
  readBytes: number,
  zeroBytes: number,
  unchangedBytes: number,
  changedBytes: number,
  duplicateBlocks: number,
  storedBytes: number,
  reductionRatio: number,
  seconds: z.object({
    extents: number,
    read: number,
    hash: number,
    compress: number,
    write: number,
    wait: number,
    limit: number.optional(),
  }),
  wallSeconds: number,
  readBytesPerSecond: number,
  audit: z
    .object({
      auditedBlocks: number,
      mismatchedBlocks: number,
      readBytes: number,
      seconds: number,
    })
    .optional(),
  blockMap: z.object({ cellBytes: number.positive(), cells: text.max(240) }).optional(),
});

const engineSchema = z.looseObject({
  backupId: text,
  fromCheckpointId: text,
  toCheckpointId: text,
  backupsStarted: number,
  startSeconds: number,
  finalizeSeconds: number,
  leftOut: z.array(z.object({ diskId: text, alias: text, cause: text })),
});

/** Fields that it does not know are kept. */
export const sessionReportSchema: z.ZodType<SessionReport> = z.looseObject({
  type: z.literal('backup'),
  sessionId: text,
  vmName: text,
  vmId: text,
  repository: text,
  fileName: text,
  fileBytes: number,
  pointId: text,
  pointType: z.enum(['full', 'increment']),
  pointNumber: number,
  parentPointId: text,
  startedAt: z.iso.datetime(),
  durationSeconds: number,
  overheadSeconds: number,
  commitSeconds: number,
  bottleneck: z.object({ stage: text, busyRatio: number }),
  disks: z.array(diskSchema),
  messages: z.array(messageSchema),
  engine: engineSchema.optional(),
  healing: z.object({ blockCount: number, damagedPointIds: z.array(text) }).optional(),
  lockedUntil: text.optional(),
});

const header = {
  sessionId: z.string().min(8).max(100),
  vmName: text,
  vmId: text,
  startedAt: z.iso.datetime(),
  durationSeconds: number,
};
const anyReport = z.record(text, z.unknown());

export const sessionRecordSchema: z.ZodType<SessionRecord> = z.union([
  z.object({
    ...header,
    type: z.enum(SESSION_TYPES),
    outcome: z.literal('failed'),
    code: text,
    message: text,
    hint: text,
    messages: z.array(messageSchema),
    report: anyReport.optional(),
  }),
  z.object({
    ...header,
    type: z.literal('backup'),
    outcome: z.literal('ok'),
    report: sessionReportSchema,
  }),
  z.object({
    ...header,
    type: z.enum(SESSION_TYPES).exclude(['backup']),
    outcome: z.literal('ok'),
    report: anyReport,
  }),
]);
