/** Journals of sessions in a test's repository: read while they run, and put there as a killed process leaves them. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { LabVm } from '../../../lab/src/index.ts';
import {
  type JournalEntry,
  leftBackupJournal,
  restoreJournalName,
} from '../../../src/repository/journal.ts';
import { type CleanupReport, cleanupVm } from '../../../src/sessions/cleanup/cleanupVm.ts';
import type { LabBench } from '../lab/useLab.ts';
import { vmFoldersOf } from './repositoryFiles.ts';

const GONE_PID = 4_194_304;

function folderOf(bench: LabBench): string {
  const [folder] = vmFoldersOf(bench.repository);
  if (folder === undefined) throw new Error('no VM in the repository');
  return folder;
}

/** Steps of the backup journal that is there now. */
export async function backupSteps(bench: LabBench): Promise<readonly JournalEntry[]> {
  return (await leftBackupJournal(folderOf(bench)))?.entries ?? [];
}

/** The journal of the restore that runs now. */
export function restoreJournal(bench: LabBench): { readonly name: string; readonly text: string } {
  const folder = folderOf(bench);
  const name = readdirSync(folder).find((one) => one.startsWith('restore.'));
  if (name === undefined) throw new Error('no restore is running');
  return { name, text: readFileSync(path.join(folder, name), 'utf8') };
}

/** Writes a journal back, as if its process had been killed. */
export function leaveRestoreJournal(bench: LabBench, name: string, text: string): void {
  const dead = text.replace(/"pid":\d+/, `"pid":${GONE_PID}`);
  writeFileSync(path.join(folderOf(bench), name), dead);
}

/** The journal of a restore that was killed after these steps. */
export function leaveRestoreSteps(
  bench: LabBench,
  source: { readonly text: string },
  steps: readonly JournalEntry[],
): void {
  const sessionId = '11111111-2222-4333-8444-555555555555';
  const [head = '{}'] = source.text.split('\n');
  const session = { ...(JSON.parse(head) as object), sessionId };
  const lines = [session, ...steps].map((step) => `${JSON.stringify(step)}\n`);
  leaveRestoreJournal(bench, restoreJournalName(sessionId), lines.join(''));
}

export async function cleanUp(bench: LabBench, vm: LabVm): Promise<CleanupReport> {
  return await cleanupVm({ engine: bench.settings(), repository: bench.repository, vm: vm.id });
}
