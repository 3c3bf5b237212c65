/**
 * The findings of verify, in the file `verify.json` in the folder of a VM. They are advice only:
 * when the record is lost, damaged or old, another verify makes it again. The file is replaced as a
 * whole, without the lock of the chain.
 */
import { z } from 'zod';
import { BackupError } from '../../core/errors.ts';
import type { FileFacts, StoreFolder } from '../../store/store.ts';
import { readTextFile } from '../../store/textFiles.ts';

export const VERIFY_RECORD = 'verify.json';
/**
 * Most damaged stored blocks that are recorded per container. With more of them no session builds
 * on the container any more.
 */
export const MAX_RECORDED_BLOCKS = 10_000;
/** Most recorded findings per container that concern no single stored block. */
export const MAX_RECORDED_PROBLEMS = 100;
const MAX_RECORD_BYTES = 256 * 1024 * 1024;
/** Damaged blocks kept per container when the whole record would be too large. */
const MAX_CROWDED_BLOCKS = 1000;
/** Upper limits for the text of one damaged block, and of one point that needs it. */
const [BLOCK_TEXT_BYTES, POINT_TEXT_BYTES] = [2500, 110];
const FORMAT = 1;

/** A stored block whose bytes are not those that were written, or cannot be read. */
export interface DamagedBlock {
  readonly blockId: number;
  /** Offset of its stored bytes in the container, if known. */
  readonly offsetBytes?: number | undefined;
  readonly code: string;
  readonly message: string;
  /** Restore points that need the block. Undefined until all points were traced. */
  readonly neededBy?: readonly string[] | undefined;
  /**
   * The first restore point that holds other data in all its places: healed, or written by the
   * guest.
   */
  readonly healedFrom?: string | undefined;
}

/** A finding that concerns a container as a whole. */
export interface Problem {
  readonly code: string;
  readonly message: string;
}

/**
 * Tells whether a file is still the one that was checked. Writing or replacing the file changes
 * both values. Bit rot changes neither.
 */
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
  /** Share of the stored blocks that was read, above 0 and at most 1. */
  readonly sampleRatio: number;
  readonly checkedBlocks: number;
  readonly skippedBlocks: number;
  readonly storedBytesRead: number;
  readonly plainBytes: number;
  /** Number of all findings. Only the first ones are kept. */
  readonly findingCount: number;
  readonly problems: readonly Problem[];
  readonly damagedBlocks: readonly DamagedBlock[];
  /** True when there are more damaged stored blocks than are kept. */
  readonly isTruncated: boolean;
}

/** The last verify of this VM. Without `finishedAt` it was interrupted. */
export interface VerifyPass {
  readonly startedAt: string;
  readonly finishedAt?: string | undefined;
  /** Option `point` of that verify. */
  readonly point: string;
  readonly sampleRatio: number;
  readonly outcome?: 'ok' | 'damaged' | undefined;
}

export interface VerifyRecord {
  readonly format: 1;
  readonly run?: VerifyPass | undefined;
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

/**
 * The record of a VM folder. It is empty when it is missing or damaged.
 *
 * @throws {@link RepositoryError} `REPOSITORY_IO`. With an empty record in its place, known damage
 *   would be taken for good data, and the next update would lose it.
 */
export async function readVerifyRecord(folder: StoreFolder): Promise<VerifyRecord> {
  try {
    const content = await readTextFile(folder, VERIFY_RECORD, MAX_RECORD_BYTES);
    if (content === undefined) return EMPTY_RECORD;
    const parsed = recordSchema.safeParse(JSON.parse(content));
    return parsed.success ? parsed.data : EMPTY_RECORD;
  } catch (error) {
    if (error instanceof BackupError && !isNoRecord(error)) throw error;
    return EMPTY_RECORD;
  }
}

/** A file that is no record at all: too large, a folder, or with a broken seal. */
function isNoRecord({ code, details }: BackupError): boolean {
  const isDamaged = code === 'REPOSITORY_METADATA_INVALID' || code === 'INTEGRITY_SEAL_BROKEN';
  return isDamaged || details['errno'] === 'EISDIR';
}

/**
 * Reads the record, changes it, and replaces it (mode 0600). When two processes write at the same
 * time, the later one wins. The next verify finds the lost findings again.
 *
 * @throws {@link RepositoryError} `REPOSITORY_IO`, `REPOSITORY_FULL`
 */
export async function updateVerifyRecord(
  folder: StoreFolder,
  change: (record: VerifyRecord) => VerifyRecord,
): Promise<void> {
  const record = bounded(change(await readVerifyRecord(folder)));
  await folder.writeShared(VERIFY_RECORD, `${JSON.stringify(record)}\n`);
}

/**
 * Limits the size of the record: keeps only the first damaged blocks of each container if needed.
 */
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

/** Size and modification time of a container. Both are 0 when it is missing. */
export async function identifyFile(folder: StoreFolder, fileName: string): Promise<FileIdentity> {
  return identityOf((await folder.facts([fileName])).get(fileName));
}

function identityOf(facts: FileFacts | undefined): FileIdentity {
  if (!facts) return { sizeBytes: 0, modifiedAtMs: 0 };
  return { sizeBytes: facts.sizeBytes, modifiedAtMs: Math.trunc(facts.modifiedAtMs) };
}

/** Entries whose files have not changed since the check, by file name. */
export async function currentContainers(
  folder: StoreFolder,
  record: VerifyRecord,
): Promise<Map<string, VerifiedContainer>> {
  const current = new Map<string, VerifiedContainer>();
  if (record.containers.length === 0) return current;
  const facts = await folder.facts(record.containers.map(({ fileName }) => fileName));
  for (const entry of record.containers) {
    const now = identityOf(facts.get(entry.fileName));
    const isSame = now.sizeBytes === entry.sizeBytes && now.modifiedAtMs === entry.modifiedAtMs;
    if (isSame) current.set(entry.fileName, entry);
  }
  return current;
}
