/**
 * What a session is about to do on an engine, written before it is done, so that a session that was killed can be
 * cleaned up after. One JSON object a line; every line is on disk before the step it names begins. No secrets.
 */
import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { errnoOf, RepositoryError } from '../core/errors.ts';
import {
  describeProcess,
  isProvablyGone,
  type ProcessIdentity,
  processSchema,
} from './chainLock.ts';
import { guardRepository, PARTIAL_SUFFIX, readText, syncFolder } from './durableFile.ts';

/** Journal of the backup session of a folder; there is one at most, under the folder's lock. */
export const BACKUP_JOURNAL = 'journal.ndjson';
const MAX_JOURNAL_BYTES = 64 * 1024 * 1024;
const RESTORE_JOURNAL = /^restore\.[0-9a-f-]{36}\.ndjson$/;

const id = z.string().regex(/^[\w-]{1,100}$/);

/** One step. `description` and `name` find what was made although its id never arrived. */
export type JournalEntry =
  | {
      readonly step: 'session';
      readonly kind: 'backup' | 'restore';
      readonly sessionId: string;
      readonly vmId: string;
      readonly vmName: string;
      readonly process: ProcessIdentity;
    }
  /** `otherTransferIds`: transfers of the disks that were open before, and are somebody else's. */
  | {
      readonly step: 'backup-starting';
      readonly description: string;
      readonly otherTransferIds?: readonly string[] | undefined;
    }
  /** The engine has made no backup. */
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
  /** A snapshot that outlived its backup, carried from journal to journal until it is gone. */
  | { readonly step: 'snapshot-left'; readonly snapshotId: string }
  | { readonly step: 'snapshot-gone'; readonly snapshotId: string }
  | { readonly step: 'disk-starting'; readonly name: string }
  | { readonly step: 'disk'; readonly diskId: string; readonly name: string }
  | { readonly step: 'vm-starting'; readonly name: string }
  | { readonly step: 'vm'; readonly vmId: string; readonly name: string }
  /** The engine made nothing of this name for us. */
  | { readonly step: 'refused'; readonly name: string }
  /** What was made is whole and the user's. */
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

export interface JournalRecord {
  readonly file: string;
  readonly entries: readonly JournalEntry[];
  /** Lines other than a last one cut by a crash were not understood. */
  readonly isDamaged: boolean;
}

export class Journal {
  readonly file: string;
  readonly #handle: FileHandle;
  readonly #entries: JournalEntry[] = [];
  #lastWrite: Promise<void> = Promise.resolve();

  private constructor(file: string, handle: FileHandle) {
    this.file = file;
    this.#handle = handle;
  }

  /**
   * Starts a journal, with steps carried over from the one before, which has to be recovered by then: it is
   * replaced at once, so that there is one journal or the other at any moment.
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

  /** What was written down so far. */
  get entries(): readonly JournalEntry[] {
    return this.#entries;
  }

  /** Writes a step down; it is on disk when this resolves. Appends keep the order of their calls. */
  async append(entry: JournalEntry): Promise<void> {
    const line = `${JSON.stringify({ at: new Date().toISOString(), ...entry })}\n`;
    const write = this.#lastWrite.then(async () => {
      await guardRepository(`write ${this.file}`, async () => {
        // Not `write`, which may stop after a part of the line.
        await this.#handle.writeFile(line);
        await this.#handle.datasync();
      });
    });
    this.#lastWrite = write.catch(() => {});
    this.#entries.push(entry);
    await write;
  }

  /** Everything that the session did is undone or accounted for. */
  async remove(): Promise<void> {
    await this.keep();
    await removeJournal(this.file);
  }

  /** Leaves the journal to a later clean-up. Never throws: every line is on disk already. */
  async keep(): Promise<void> {
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

/** A last line that was cut by a crash does not count: its step had not begun. */
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

/** The journal that a backup session left, if one was killed. Only for the holder of the folder's lock. */
export async function leftBackupJournal(folder: string): Promise<JournalRecord | undefined> {
  return await readJournal(path.join(folder, BACKUP_JOURNAL));
}

/** Journals of restores whose process is gone. */
export async function leftRestoreJournals(folder: string): Promise<JournalRecord[]> {
  const names = await guardRepository(`read ${folder}`, () => readdir(folder));
  const left: JournalRecord[] = [];
  for (const name of names.filter((candidate) => RESTORE_JOURNAL.test(candidate))) {
    const record = await readJournal(path.join(folder, name));
    if (record && (await isAbandoned(record))) left.push(record);
  }
  return left;
}

async function isAbandoned(record: JournalRecord): Promise<boolean> {
  const [first] = record.entries;
  if (first?.step !== 'session') return true;
  return await isProvablyGone(first.process);
}
