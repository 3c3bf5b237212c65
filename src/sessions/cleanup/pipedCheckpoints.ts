/**
 * Checkpoints of pipes: those that were handed out stay until a later call needs them no more. The
 * others are of calls that failed.
 */
import { z } from 'zod';
import { RepositoryError } from '../../core/errors.ts';
import type { Checkpoint } from '../../ovirt/engine/entities.ts';
import { readTextFile } from '../../store/textFiles.ts';
import { isOwnDescription } from './ownership.ts';
import type { StoreFolder } from '../../store/store.ts';

const RECORD_NAME = 'piped.json';
const MAX_RECORD_BYTES = 16 * 1024 * 1024;

/** A checkpoint that `finish` returned, with the sizes of the disks at that time. */
export interface HandedOut {
  readonly checkpointId: string;
  readonly disks: readonly { readonly diskId: string; readonly sizeBytes: number }[];
}

const recordSchema: z.ZodType<readonly HandedOut[]> = z.array(
  z.object({
    checkpointId: z.string().max(100),
    disks: z.array(
      z.object({ diskId: z.string().max(100), sizeBytes: z.number().int().nonnegative() }),
    ),
  }),
);

/** Names the owner in the descriptions of backups of pipes. Those of sessions have another one. */
export function pipeOwner(repositoryId: string): string {
  return `pipe-${repositoryId}`;
}

/**
 * Checkpoints of calls that failed or were killed. Those that were handed out are not among them.
 *
 * @param folder - folder of the VM, which the caller has locked.
 */
export async function failedPipes(
  folder: StoreFolder,
  repositoryId: string,
  checkpoints: readonly Checkpoint[],
): Promise<Checkpoint[]> {
  const order = (await readHandedOut(folder)).map((one) => one.checkpointId);
  return supersededPipes(checkpoints, {
    ownerId: pipeOwner(repositoryId),
    order,
    since: undefined,
  });
}

/** Pure. Own checkpoints that no call needs. `order`: ids that were handed out, oldest first. */
export function supersededPipes(
  checkpoints: readonly Checkpoint[],
  owned: {
    readonly ownerId: string;
    readonly order: readonly string[];
    readonly since: string | undefined;
  },
): Checkpoint[] {
  const { ownerId, order, since } = owned;
  const sinceAt = since === undefined ? -1 : order.indexOf(since);
  return checkpoints.filter(({ id, description }) => {
    if (id === since || !isOwnDescription(description, ownerId)) return false;
    const at = order.indexOf(id);
    return at < 0 || at < sinceAt;
  });
}

/**
 * Checkpoints that calls with the journal in `folder` handed out, the oldest first.
 *
 * @throws {@link RepositoryError} `REPOSITORY_METADATA_INVALID` for a damaged record. Without it,
 *   checkpoints that a caller still needs would be removed.
 */
export async function readHandedOut(folder: StoreFolder): Promise<readonly HandedOut[]> {
  const text = await readTextFile(folder, RECORD_NAME, MAX_RECORD_BYTES);
  if (text === undefined) return [];
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch (error) {
    const file = folder.pathOf(RECORD_NAME);
    if (error instanceof SyntaxError || error instanceof z.ZodError) throw damaged(file, error);
    throw error;
  }
}

function damaged(file: string, cause: Error): RepositoryError {
  return new RepositoryError('REPOSITORY_METADATA_INVALID', `${file} is damaged`, {
    cause,
    hint: 'delete it; checkpoints that earlier pipes and streams gave out are then removed, so the next one reads whole disks',
  });
}

export async function writeHandedOut(
  folder: StoreFolder,
  all: readonly HandedOut[],
): Promise<void> {
  await folder.writeFile(RECORD_NAME, `${JSON.stringify(all)}\n`);
}
