/**
 * What verify found, in `verify.json` in the folder of a VM. It is advice: a record that is lost, damaged or
 * old costs another run of verify and nothing else. It is replaced whole, without the lock of the chain.
 */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { errnoOf } from '../../core/errors.ts';
import { guardRepository, readText, writeDurableShared } from '../durableFile.ts';

export const VERIFY_RECORD = 'verify.json';
/** Damaged stored blocks that are recorded per container; with more of them its chain is given up. */
export const MAX_RECORDED_BLOCKS = 10_000;
/** Findings per container that concern no single stored block. */
export const MAX_RECORDED_PROBLEMS = 100;
const MAX_RECORD_BYTES = 256 * 1024 * 1024;
/** Kept per container where all of it would be too much. */
const MAX_CROWDED_BLOCKS = 1000;
/** Generous for one damaged block, and for one point that needs it. */
const [BLOCK_TEXT_BYTES, POINT_TEXT_BYTES] = [2500, 110];
const FORMAT = 1;

/** A stored block that cannot be read as it was written. */
export interface DamagedBlock {
  readonly blockId: number;
  /** Of its stored bytes in the container, where that is known. */
  readonly offsetBytes?: number | undefined;
  readonly code: string;
  readonly message: string;
  /** Restore points whose content needs it; undefined until all points were looked at. */
  readonly neededBy?: readonly string[] | undefined;
  /** The first restore point that holds other data in all its places: healed, or written by the guest. */
  readonly healedFrom?: string | undefined;
}

/** A finding that concerns a container as a whole. */
export interface Problem {
  readonly code: string;
  readonly message: string;
}

/** Which file was looked at. Bit rot changes neither, a file that is written or replaced changes both. */
export interface FileIdentity {
  readonly sizeBytes: number;
  readonly modifiedAtMs: number;
}

/** The last check of one container. */
export interface VerifiedContainer extends FileIdentity {
  readonly fileName: string;
  readonly pointId: string;
  /** ISO 8601, UTC. */
  readonly verifiedAt: string;
  /** Part of the stored blocks that was read. */
  readonly sampleRatio: number;
  readonly checkedBlocks: number;
  readonly skippedBlocks: number;
  readonly storedBytesRead: number;
  readonly plainBytes: number;
  /** All findings, of which the first ones are kept. */
  readonly findingCount: number;
  readonly problems: readonly Problem[];
  readonly damagedBlocks: readonly DamagedBlock[];
  /** There are more damaged stored blocks than are kept. */
  readonly isTruncated: boolean;
}

/** The last run over this VM; without `finishedAt` it was interrupted. */
export interface VerifyRun {
  readonly startedAt: string;
  readonly finishedAt?: string | undefined;
  /** Option `point` of the run. */
  readonly point: string;
  readonly sampleRatio: number;
  readonly outcome?: 'ok' | 'damaged' | undefined;
}

export interface VerifyRecord {
  readonly format: 1;
  readonly run?: VerifyRun | undefined;
  readonly containers: readonly VerifiedContainer[];
}

export const EMPTY_RECORD: VerifyRecord = { format: FORMAT, containers: [] };

const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const text = z.string().max(4000);
const ratio = z.number().positive().max(1);
const identifier = z.string().min(1).max(100);

const blockSchema: z.ZodType<DamagedBlock> = z.object({
  blockId: count,
  offsetBytes: count.optional(),
  code: text,
  message: text,
  neededBy: z.array(identifier).optional(),
  healedFrom: identifier.optional(),
});

const containerSchema: z.ZodType<VerifiedContainer> = z.object({
  fileName: z.string().min(1).max(255),
  pointId: identifier,
  sizeBytes: count,
  modifiedAtMs: z.number(),
  verifiedAt: z.iso.datetime(),
  sampleRatio: ratio,
  checkedBlocks: count,
  skippedBlocks: count,
  storedBytesRead: count,
  plainBytes: count,
  findingCount: count,
  problems: z.array(z.object({ code: text, message: text })).max(MAX_RECORDED_PROBLEMS),
  damagedBlocks: z.array(blockSchema).max(MAX_RECORDED_BLOCKS),
  isTruncated: z.boolean(),
});

const recordSchema: z.ZodType<VerifyRecord> = z.object({
  format: z.literal(FORMAT),
  run: z
    .object({
      startedAt: z.iso.datetime(),
      finishedAt: z.iso.datetime().optional(),
      point: text,
      sampleRatio: ratio,
      outcome: z.enum(['ok', 'damaged']).optional(),
    })
    .optional(),
  containers: z.array(containerSchema),
});

/** The record of a VM folder; an empty one when there is none that can be read. */
export async function readVerifyRecord(folder: string): Promise<VerifyRecord> {
  const file = path.join(folder, VERIFY_RECORD);
  try {
    const parsed = recordSchema.safeParse(JSON.parse(await readText(file, MAX_RECORD_BYTES)));
    return parsed.success ? parsed.data : EMPTY_RECORD;
  } catch {
    return EMPTY_RECORD;
  }
}

/**
 * Reads the record, changes it, and replaces it (mode 0600). Of two writers at the same moment the later one
 * wins; what the other found, verify finds again.
 *
 * @throws {@link RepositoryError} `REPOSITORY_IO`, `REPOSITORY_FULL`
 */
export async function updateVerifyRecord(
  folder: string,
  change: (record: VerifyRecord) => VerifyRecord,
): Promise<void> {
  const record = bounded(change(await readVerifyRecord(folder)));
  await writeDurableShared(path.join(folder, VERIFY_RECORD), `${JSON.stringify(record)}\n`);
}

/** A repository that has rotted throughout still gets a record: of each container the first damaged blocks. */
function bounded(record: VerifyRecord): VerifyRecord {
  const textBytes = record.containers
    .flatMap((entry) => entry.damagedBlocks)
    .reduce(
      (sum, { neededBy = [] }) => sum + BLOCK_TEXT_BYTES + neededBy.length * POINT_TEXT_BYTES,
      0,
    );
  if (textBytes <= MAX_RECORD_BYTES) return record;
  const containers = record.containers.map((entry) => ({
    ...entry,
    damagedBlocks: entry.damagedBlocks
      .slice(0, MAX_CROWDED_BLOCKS)
      .map(({ blockId, offsetBytes, code, message }) => ({ blockId, offsetBytes, code, message })),
    isTruncated: entry.isTruncated || entry.damagedBlocks.length > MAX_CROWDED_BLOCKS,
  }));
  return { ...record, containers };
}

/** How a container that is not there is identified. */
const MISSING: FileIdentity = { sizeBytes: 0, modifiedAtMs: 0 };

/** Size and time of a container; zeros when it is not there. */
export async function identifyFile(folder: string, fileName: string): Promise<FileIdentity> {
  return await guardRepository(`look at ${fileName}`, async () => {
    try {
      const { size, mtimeMs } = await stat(path.join(folder, fileName));
      return { sizeBytes: size, modifiedAtMs: Math.trunc(mtimeMs) };
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return MISSING;
      throw error;
    }
  });
}

/** The entries whose files are what they were when they were checked, by file name. */
export async function currentContainers(
  folder: string,
  record: VerifyRecord,
): Promise<Map<string, VerifiedContainer>> {
  const current = new Map<string, VerifiedContainer>();
  for (const entry of record.containers) {
    const now = await identifyFile(folder, entry.fileName);
    const isSame = now.sizeBytes === entry.sizeBytes && now.modifiedAtMs === entry.modifiedAtMs;
    if (isSame) current.set(entry.fileName, entry);
  }
  return current;
}
