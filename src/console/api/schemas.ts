/**
 * Schemas of all data of the API. They check requests, the OpenAPI document is made from them, and
 * tests check answers with them. The compiler compares each with its type of `contract.ts`.
 */
import { z } from 'zod';
import type {
  Chain,
  ConsoleEvent,
  DiskMap,
  JobRow,
  LiveSession,
  PointRow,
  RepositoryRow,
  Role,
  RunRow,
  TaskRequest,
  TaskRow,
  VmRow,
  WorkerRow,
} from '../contract.ts';
import type { Problem } from '../problems.ts';

/** Longest name, key or id in a request, in characters. */
const MAX_NAME = 512;
const MAX_TOKEN = 4096;
/** VMs or disks that a request may name. */
const MAX_NAMES = 1000;

/** Schemas of the data, by their names in the OpenAPI document. */
export const CONSOLE_SCHEMAS: z.core.$ZodRegistry<{ id: string }> = z.registry<{ id: string }>();

/** A type with all of its fields, so that a field that one of two types lacks is seen. */
type Complete<T> = T extends string | number | boolean | undefined
  ? T
  : T extends readonly (infer Item)[]
    ? readonly Complete<Item>[]
    : { [Key in keyof T]-?: Complete<T[Key]> };
type IsPart<A, B> = [Complete<A>] extends [Complete<B>] ? true : false;
type Agrees<A, B> = [IsPart<A, B>, IsPart<B, A>] extends [true, true] ? [] : [never];

/** Names a schema. It compiles only for a schema that has exactly the fields of `T`. */
export function schemaOf<T>(
  id: string,
): <Schema extends z.ZodType<T>>(
  schema: Schema,
  ...agrees: Agrees<z.output<Schema>, T>
) => z.ZodType<T> {
  return (schema, ..._agrees) => {
    CONSOLE_SCHEMAS.add(schema, { id });
    return schema;
  };
}

/** Who is logged in. */
export interface Me {
  readonly role: Role;
  /** Value of `x-csrf-token`. Empty for a client with a bearer token: it needs none. */
  readonly csrfToken: string;
  readonly productVersion: string;
  /** Whether tasks `restoreFiles` are possible. */
  readonly restoreFolder: boolean;
}

export interface LoginRequest {
  readonly token: string;
}

export interface RunRequest {
  /** Keys of VMs. Absent: all VMs of the job. */
  readonly only?: readonly string[] | undefined;
}

export interface RunStarted {
  readonly runId: string;
}

export interface RunQuery {
  readonly job?: string | undefined;
  readonly most: number;
}

const time = z.iso.datetime();
const bytes = z.number().nonnegative();
const count = z.int().nonnegative();
const texts = z.array(z.string()).readonly();
/** A name in a request. Names hold no control characters and no half characters. */
export const nameSchema: z.ZodType<string> = z
  .string()
  .min(1)
  .max(MAX_NAME)
  // oxlint-disable-next-line no-control-regex -- they are refused
  .regex(/^[^\u0000-\u001F\u007F-\u009F]+$/, 'a control character')
  // Not part of the pattern: tools that read the OpenAPI document do not know it.
  .refine((name) => !/[\uD800-\uDFFF]/u.test(name), 'half a character');

const outcome = z.enum(['success', 'warning', 'failure']);
const mode = z.enum(['full', 'incremental', 'compare']);
const pointType = z.enum(['full', 'increment']);
const result = z.enum(['done', 'failed', 'cancelled']);
const failure = z.strictObject({ code: z.string(), message: z.string(), hint: z.string() });

export const vmRowSchema: z.ZodType<VmRow> = schemaOf<VmRow>('VmRow')(
  z.strictObject({
    jobName: z.string(),
    vmKey: z.string(),
    vmName: z.string(),
    health: z.enum(['good', 'warning', 'late', 'failed', 'never', 'damaged']),
    lastOutcome: z.enum([...outcome.options, 'notStarted']),
    lastSuccessAt: time.optional(),
    lastDurationSeconds: bytes.optional(),
    lastReadBytes: bytes.optional(),
    lastStoredBytes: bytes.optional(),
    lastPointType: pointType.optional(),
    lockedUntil: time.optional(),
    sessionId: z.string().optional(),
  }),
);

export const jobRowSchema: z.ZodType<JobRow> = schemaOf<JobRow>('JobRow')(
  z.strictObject({
    name: z.string(),
    engineName: z.string(),
    repositoryName: z.string(),
    schedule: z.string().optional(),
    next: time.optional(),
    runId: z.string().optional(),
    lastRun: z.strictObject({ startedAt: time, endedAt: time, outcome }).optional(),
    vmCount: count,
  }),
);

const pointDisk = z.strictObject({ diskId: z.string(), alias: z.string(), sizeBytes: bytes });

export const pointRowSchema: z.ZodType<PointRow> = schemaOf<PointRow>('PointRow')(
  z.strictObject({
    pointId: z.string(),
    number: count,
    type: pointType,
    createdAt: time,
    fileName: z.string(),
    fileBytes: bytes,
    parentPointId: z.string(),
    lockedUntil: time.optional(),
    isDamaged: z.boolean().optional(),
    disks: z.array(pointDisk).readonly(),
    hasMap: z.boolean(),
  }),
);

export const chainSchema: z.ZodType<Chain> = schemaOf<Chain>('Chain')(
  z.strictObject({
    jobName: z.string(),
    vmKey: z.string(),
    vmName: z.string(),
    points: z.array(pointRowSchema).readonly(),
  }),
);

export const diskMapSchema: z.ZodType<DiskMap> = schemaOf<DiskMap>('DiskMap')(
  z.strictObject({
    diskId: z.string(),
    alias: z.string(),
    sizeBytes: bytes,
    mode,
    cellBytes: bytes,
    cells: z.string(),
  }),
);

export const runRowSchema: z.ZodType<RunRow> = schemaOf<RunRow>('RunRow')(
  z.strictObject({
    runId: z.string(),
    jobName: z.string(),
    startedAt: time,
    durationSeconds: bytes,
    outcome,
    vmCount: count,
    failedVmCount: count,
    readBytes: bytes,
    storedBytes: bytes,
  }),
);

const liveDisk = z.strictObject({
  diskId: z.string(),
  alias: z.string(),
  mode: mode.optional(),
  sizeBytes: bytes,
  dataBytes: bytes.optional(),
  doneBytes: bytes,
  readBytes: bytes,
  result: result.optional(),
});

const liveContainer = z.strictObject({
  fileName: z.string(),
  checkedBlocks: count,
  totalBlocks: count,
});

export const liveSessionSchema: z.ZodType<LiveSession> = schemaOf<LiveSession>('LiveSession')(
  z.strictObject({
    sessionId: z.string(),
    vmName: z.string(),
    vmId: z.string(),
    jobName: z.string().optional(),
    runId: z.string().optional(),
    taskId: z.string().optional(),
    worker: z.string().optional(),
    startedAt: time,
    phase: z.enum([
      'preparing',
      'freezing',
      'reading',
      'finalizing',
      'committing',
      'writing',
      'uploading',
      'converting',
      'creatingVm',
      'verifying',
      'merging',
      'copying',
      'stopping',
    ]),
    waitsFor: z.string().optional(),
    readBytesPerSecond: bytes.optional(),
    disks: z.array(liveDisk).readonly(),
    containers: z.array(liveContainer).readonly().optional(),
    result: result.optional(),
  }),
);

export const repositoryRowSchema: z.ZodType<RepositoryRow> = schemaOf<RepositoryRow>(
  'RepositoryRow',
)(
  z.strictObject({
    name: z.string(),
    place: z.string(),
    vmCount: count,
    pointCount: count,
    storedBytes: bytes,
    freeBytes: bytes.optional(),
    growth: z.array(z.strictObject({ day: z.iso.date(), storedBytes: bytes })).readonly(),
    problem: z.string().optional(),
  }),
);

export const workerRowSchema: z.ZodType<WorkerRow> = schemaOf<WorkerRow>('WorkerRow')(
  z.strictObject({
    name: z.string(),
    host: z.string(),
    pid: count,
    productVersion: z.string(),
    labels: texts,
    parallelVms: count,
    runningVms: texts,
    startedAt: time,
    seenAt: time,
  }),
);

const pointName = { jobName: nameSchema, vmKey: nameSchema, pointId: nameSchema };

export const taskRequestSchema: z.ZodType<TaskRequest> = schemaOf<TaskRequest>('TaskRequest')(
  z.discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('restoreFiles'),
      diskIds: z.array(nameSchema).min(1).max(MAX_NAMES).readonly(),
      ...pointName,
    }),
    z.strictObject({
      type: z.literal('restoreVm'),
      newName: nameSchema,
      storageDomain: nameSchema,
      cluster: nameSchema.optional(),
      ...pointName,
    }),
    z.strictObject({ type: z.literal('verify'), ...pointName }),
    z.strictObject({ type: z.literal('export'), diskId: nameSchema, ...pointName }),
  ]),
);

export const taskRowSchema: z.ZodType<TaskRow> = schemaOf<TaskRow>('TaskRow')(
  z.strictObject({
    taskId: z.string(),
    request: taskRequestSchema,
    vmName: z.string(),
    state: z.enum(['running', 'done', 'failed', 'stopped']),
    startedAt: time,
    endedAt: time.optional(),
    waitsFor: z.string().optional(),
    sessionId: z.string().optional(),
    results: texts,
    failure: failure.optional(),
  }),
);

const message = z.strictObject({
  code: z.string(),
  level: z.enum(['info', 'warn', 'error']),
  text: z.string(),
  resolution: z.string(),
});

export const consoleEventSchema: z.ZodType<ConsoleEvent> = schemaOf<ConsoleEvent>('ConsoleEvent')(
  z.discriminatedUnion('type', [
    z.strictObject({ type: z.literal('session'), session: liveSessionSchema }),
    z.strictObject({ type: z.literal('vm'), vm: vmRowSchema }),
    z.strictObject({ type: z.literal('job'), job: jobRowSchema }),
    z.strictObject({ type: z.literal('task'), task: taskRowSchema }),
    z.strictObject({
      type: z.literal('message'),
      jobName: z.exactOptional(z.string()),
      message,
    }),
  ]),
);

export const meSchema: z.ZodType<Me> = schemaOf<Me>('Me')(
  z.strictObject({
    role: z.enum(['operator', 'readOnly']),
    csrfToken: z.string(),
    productVersion: z.string(),
    restoreFolder: z.boolean(),
  }),
);

export const problemSchema: z.ZodType<Problem> = schemaOf<Problem>('Problem')(
  z.strictObject({ error: failure }),
);

export const loginSchema: z.ZodType<LoginRequest> = schemaOf<LoginRequest>('LoginRequest')(
  z.strictObject({ token: z.string().min(1).max(MAX_TOKEN) }),
);

export const runRequestSchema: z.ZodType<RunRequest> = schemaOf<RunRequest>('RunRequest')(
  z.strictObject({ only: z.array(nameSchema).min(1).max(MAX_NAMES).readonly().optional() }),
);

export const runStartedSchema: z.ZodType<RunStarted> = schemaOf<RunStarted>('RunStarted')(
  z.strictObject({ runId: z.string() }),
);

export const runQuerySchema: z.ZodType<RunQuery> = z.strictObject({
  job: nameSchema.optional(),
  // 1 to 500.
  most: z
    .string()
    .regex(/^(?:[1-9]\d?|[1-4]\d\d|500)$/)
    .transform(Number)
    .default(50),
});
