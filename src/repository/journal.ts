/**
 * Journal of a session: its steps on an engine, each written before the step begins. After a
 * session is killed, its journal says what must be cleaned up. One JSON object per line. A line is
 * on disk before its step begins. A line that the clean-up can do without waits for no disk: then
 * the clean-up asks the engine once more. The journal holds no secrets.
 */
import { z } from 'zod';
import { readTextFile, removeFile } from '../store/textFiles.ts';
import type { LineFile, StoreFolder } from '../store/store.ts';
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

/**
 * Steps whose lines wait for no disk. After some of them nothing is left to clean up. What
 * `backup-ready` tells, the engine tells too, while its backup is open.
 */
const UNHURRIED = new Set<JournalEntry['step']>([
  'backup-ready',
  'transfer-done',
  'backup-done',
  'snapshot-gone',
]);

export interface JournalRecord {
  readonly fileName: string;
  readonly entries: readonly JournalEntry[];
  /** True when a complete line was not understood. A last line cut by a crash does not count. */
  readonly isDamaged: boolean;
}

export class Journal {
  readonly #folder: StoreFolder;
  readonly #fileName: string;
  readonly #lines: LineFile;
  readonly #entries: JournalEntry[];

  private constructor(
    folder: StoreFolder,
    fileName: string,
    lines: LineFile,
    entries: JournalEntry[],
  ) {
    this.#folder = folder;
    this.#fileName = fileName;
    this.#lines = lines;
    this.#entries = entries;
  }

  /**
   * Starts a journal in place of the old one; one of the two always exists. The caller must have
   * cleaned up after the old journal. `carried` holds its steps that still count.
   *
   * @throws {@link RepositoryError} `REPOSITORY_IO`, `REPOSITORY_FULL`
   */
  static async create(
    folder: StoreFolder,
    fileName: string,
    session: {
      readonly kind: 'backup' | 'restore';
      readonly sessionId: string;
      readonly vmId: string;
      readonly vmName: string;
    },
    carried: readonly JournalEntry[] = [],
  ): Promise<Journal> {
    const process = await describeProcess();
    const entries: JournalEntry[] = [{ step: 'session', ...session, process }, ...carried];
    const lines = await folder.startLines(fileName, entries.map(toLine));
    return new Journal(folder, fileName, lines, entries);
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
    const write = this.#lines.append(toLine(entry), !UNHURRIED.has(entry.step));
    this.#entries.push(entry);
    await write;
  }

  /** Deletes the journal. Call it when nothing of the session is left to clean up. */
  async remove(): Promise<void> {
    // In this order a line that is on its way is not written for nothing.
    try {
      await removeJournal(this.#folder, this.#fileName);
    } finally {
      await this.#lines.close();
    }
  }

  /** Closes the file and keeps it for a later clean-up. Never throws. */
  async keep(): Promise<void> {
    await this.#lines.close();
  }
}

function toLine(entry: JournalEntry): string {
  return `${JSON.stringify({ at: new Date().toISOString(), ...entry })}\n`;
}

export function restoreJournalName(sessionId: string): string {
  return `restore.${sessionId}.ndjson`;
}

/** @throws {@link RepositoryError} `REPOSITORY_IO` */
export async function removeJournal(folder: StoreFolder, fileName: string): Promise<void> {
  await removeFile(folder, fileName);
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

async function readJournal(
  folder: StoreFolder,
  fileName: string,
): Promise<JournalRecord | undefined> {
  const text = await readTextFile(folder, fileName, MAX_JOURNAL_BYTES);
  return text === undefined ? undefined : { fileName, ...parseLines(text) };
}

/** The journal of a killed backup session, if there is one. The caller must hold the lock. */
export async function leftBackupJournal(folder: StoreFolder): Promise<JournalRecord | undefined> {
  return await readJournal(folder, BACKUP_JOURNAL);
}

export interface RestoreJournals {
  /** Of restores whose process has provably ended. */
  readonly left: readonly JournalRecord[];
  /** Of restores whose process may still run, but cannot be seen from here. */
  readonly unproven: readonly JournalRecord[];
}

/** Journals of restores, except those whose process runs. */
export async function restoreJournals(folder: StoreFolder): Promise<RestoreJournals> {
  const names = await folder.fileNames();
  const left: JournalRecord[] = [];
  const unproven: JournalRecord[] = [];
  for (const name of names.filter((candidate) => RESTORE_JOURNAL.test(candidate))) {
    const record = await readJournal(folder, name);
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
