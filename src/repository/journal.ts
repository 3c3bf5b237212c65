/**
 * Journal of a session: its steps on an engine, each written before the step begins. After a
 * session is killed, its journal says what must be cleaned up. One JSON object per line. A line is
 * on disk before its step begins. A line that says that a step is over waits for no disk: without
 * it the clean-up only asks the engine once more. The journal holds no secrets.
 */
import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { errnoOf, RepositoryError } from '../core/errors.ts';
import {
  guardRepository,
  PARTIAL_SUFFIX,
  readText,
  syncFolder,
} from '../store/folder/durableFile.ts';
import {
  describeProcess,
  type HolderState,
  type ProcessIdentity,
  processSchema,
  stateHere,
} from '../store/processIdentity.ts';

/**
 * Journal of the backup session of a folder. The lock of the folder ensures that there is only one.
 */
export const BACKUP_JOURNAL = 'journal.ndjson';
const MAX_JOURNAL_BYTES = 64 * 1024 * 1024;
const RESTORE_JOURNAL = /^restore\.[0-9a-f-]{36}\.ndjson$/;

const id = z.string().regex(/^[\w-]{1,100}$/);

/** One step. `description` and `name` find a created object whose id never arrived. */
export type JournalEntry =
  | {
      readonly step: 'session';
      readonly kind: 'backup' | 'restore';
      readonly sessionId: string;
      readonly vmId: string;
      readonly vmName: string;
      readonly process: ProcessIdentity;
    }
  /** `otherTransferIds`: transfers of these disks that were open before. They belong to others. */
  | {
      readonly step: 'backup-starting';
      readonly description: string;
      readonly otherTransferIds?: readonly string[] | undefined;
    }
  /** The engine refused: there is no backup. */
  | { readonly step: 'backup-refused' }
  | { readonly step: 'backup'; readonly backupId: string }
  | {
      readonly step: 'backup-ready';
      readonly backupId: string;
      readonly toCheckpointId?: string | undefined;
      readonly snapshotId?: string | undefined;
    }
  | { readonly step: 'transfer-starting'; readonly diskId: string }
  | { readonly step: 'transfer'; readonly transferId: string; readonly diskId: string }
  | { readonly step: 'transfer-done'; readonly transferId: string }
  | { readonly step: 'backup-done'; readonly backupId: string }
  /**
   * The snapshot still exists although its backup ended. New journals repeat it until it is gone.
   */
  | { readonly step: 'snapshot-left'; readonly snapshotId: string }
  | { readonly step: 'snapshot-gone'; readonly snapshotId: string }
  | { readonly step: 'disk-starting'; readonly name: string }
  | { readonly step: 'disk'; readonly diskId: string; readonly name: string }
  | { readonly step: 'vm-starting'; readonly name: string }
  | { readonly step: 'vm'; readonly vmId: string; readonly name: string }
  /** The engine refused: it created no disk or VM of this name for us. */
  | { readonly step: 'refused'; readonly name: string }
  /** The restore is complete. Its VM and disks belong to the user now. */
  | { readonly step: 'restore-done' };

const entrySchema: z.ZodType<JournalEntry> = z.discriminatedUnion('step', [
  z.object({
    step: z.literal('session'),
    kind: z.enum(['backup', 'restore']),
    sessionId: id,
    vmId: z.string().max(100),
    vmName: z.string().max(255),
    process: processSchema,
  }),
  z.object({
    step: z.literal('backup-starting'),
    description: z.string().max(1024),
    otherTransferIds: z.array(id).optional(),
  }),
  z.object({ step: z.literal('backup-refused') }),
  z.object({ step: z.literal('snapshot-gone'), snapshotId: id }),
  z.object({ step: z.literal('restore-done') }),
  z.object({ step: z.literal('backup'), backupId: id }),
  z.object({
    step: z.literal('backup-ready'),
    backupId: id,
    toCheckpointId: id.optional(),
    snapshotId: id.optional(),
  }),
  z.object({ step: z.literal('transfer-starting'), diskId: id }),
  z.object({ step: z.literal('transfer'), transferId: id, diskId: id }),
  z.object({ step: z.literal('transfer-done'), transferId: id }),
  z.object({ step: z.literal('backup-done'), backupId: id }),
  z.object({ step: z.literal('snapshot-left'), snapshotId: id }),
  z.object({ step: z.literal('disk-starting'), name: z.string().max(255) }),
  z.object({ step: z.literal('disk'), diskId: id, name: z.string().max(255) }),
  z.object({ step: z.literal('vm-starting'), name: z.string().max(255) }),
  z.object({ step: z.literal('vm'), vmId: id, name: z.string().max(255) }),
  z.object({ step: z.literal('refused'), name: z.string().max(255) }),
]);

/** Steps after which nothing is left to clean up. */
const OVER = new Set<JournalEntry['step']>(['transfer-done', 'backup-done', 'snapshot-gone']);

export interface JournalRecord {
  readonly file: string;
  readonly entries: readonly JournalEntry[];
  /** True when a complete line was not understood. A last line cut by a crash does not count. */
  readonly isDamaged: boolean;
}

export class Journal {
  readonly file: string;
  readonly #handle: FileHandle;
  readonly #entries: JournalEntry[] = [];
  #lastWrite: Promise<void> = Promise.resolve();
  #isSynced = true;

  private constructor(file: string, handle: FileHandle) {
    this.file = file;
    this.#handle = handle;
  }

  /**
   * Starts a journal and replaces the old one by a rename, so one of the two always exists. The
   * caller must have cleaned up after the old journal. `carried` holds its steps that still count.
   *
   * @throws {@link RepositoryError} `REPOSITORY_IO`, `REPOSITORY_FULL`
   */
  static async create(
    file: string,
    session: {
      readonly kind: 'backup' | 'restore';
      readonly sessionId: string;
      readonly vmId: string;
      readonly vmName: string;
    },
    carried: readonly JournalEntry[] = [],
  ): Promise<Journal> {
    const partial = `${file}${PARTIAL_SUFFIX}`;
    return await guardRepository(`create ${file}`, async () => {
      await rm(partial, { force: true });
      const journal = new Journal(file, await open(partial, 'wx', 0o600));
      try {
        await journal.append({ step: 'session', ...session, process: await describeProcess() });
        for (const entry of carried) await journal.append(entry);
        await rename(partial, file);
        await syncFolder(path.dirname(file));
      } catch (error) {
        await journal.keep();
        throw error;
      }
      return journal;
    });
  }

  /** Steps that this object wrote, oldest first. */
  get entries(): readonly JournalEntry[] {
    return this.#entries;
  }

  /**
   * Writes a step. When the promise resolves, it is on disk together with the steps before it; a
   * step that is over may still be on its way. Steps keep the order of the calls.
   */
  async append(entry: JournalEntry): Promise<void> {
    const line = `${JSON.stringify({ at: new Date().toISOString(), ...entry })}\n`;
    const write = this.#lastWrite.then(async () => {
      await guardRepository(`write ${this.file}`, async () => {
        // `write` may write only a part of the line. `writeFile` writes all of it.
        await this.#handle.writeFile(line);
        this.#isSynced = !OVER.has(entry.step);
        if (this.#isSynced) await this.#handle.datasync();
      });
    });
    this.#lastWrite = write.catch(() => {});
    this.#entries.push(entry);
    await write;
  }

  /** Deletes the journal. Call it when nothing of the session is left to clean up. */
  async remove(): Promise<void> {
    await this.#close();
    await removeJournal(this.file);
  }

  /**
   * Closes the file and keeps it for a later clean-up. Never throws: all lines that the clean-up
   * needs are on disk.
   */
  async keep(): Promise<void> {
    if (!this.#isSynced) await this.#handle.datasync().catch(() => {});
    await this.#close();
  }

  async #close(): Promise<void> {
    await this.#handle.close().catch(() => {});
  }
}

export function restoreJournalName(sessionId: string): string {
  return `restore.${sessionId}.ndjson`;
}

export async function removeJournal(file: string): Promise<void> {
  await guardRepository(`remove ${file}`, async () => {
    await rm(file, { force: true });
    await syncFolder(path.dirname(file));
  });
}

/** A last line without its newline was cut by a crash. It is ignored: its step had not begun. */
function parseLines(text: string): Pick<JournalRecord, 'entries' | 'isDamaged'> {
  const lines = text.split('\n').slice(0, -1);
  const parsed = lines.map(parseLine);
  const entries = parsed.filter((entry) => entry !== undefined);
  return { entries, isDamaged: entries.length < lines.length };
}

function parseLine(line: string): JournalEntry | undefined {
  try {
    const parsed = entrySchema.safeParse(JSON.parse(line));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

async function readJournal(file: string): Promise<JournalRecord | undefined> {
  try {
    return { file, ...parseLines(await readText(file, MAX_JOURNAL_BYTES)) };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    if (error instanceof RepositoryError) throw error;
    throw new RepositoryError('REPOSITORY_IO', `read ${file}: ${errnoOf(error)}`, { cause: error });
  }
}

/** The journal of a killed backup session, if there is one. The caller must hold the lock. */
export async function leftBackupJournal(folder: string): Promise<JournalRecord | undefined> {
  return await readJournal(path.join(folder, BACKUP_JOURNAL));
}

export interface RestoreJournals {
  /** Of restores whose process has provably ended. */
  readonly left: readonly JournalRecord[];
  /** Of restores whose process may still run, but cannot be seen from here. */
  readonly unproven: readonly JournalRecord[];
}

/** Journals of restores, except those whose process runs. */
export async function restoreJournals(folder: string): Promise<RestoreJournals> {
  const names = await guardRepository(`read ${folder}`, () => readdir(folder));
  const left: JournalRecord[] = [];
  const unproven: JournalRecord[] = [];
  for (const name of names.filter((candidate) => RESTORE_JOURNAL.test(candidate))) {
    const record = await readJournal(path.join(folder, name));
    const state = record && (await stateOfSession(record));
    if (record && state === 'gone') left.push(record);
    else if (record && state !== 'alive') unproven.push(record);
  }
  return { left, unproven };
}

async function stateOfSession({ entries, isDamaged }: JournalRecord): Promise<HolderState> {
  const [first] = entries;
  if (first?.step === 'session') return await stateHere(first.process);
  // An empty journal names nothing that could belong to a live restore.
  return first || isDamaged ? 'unknown' : 'gone';
}
