/**
 * Backups and restores of VMs that are killed: in a process of their own at a chosen request, or as
 * a journal that is written as a killed process leaves it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LabMatch, LabVm } from '../../../lab/src/index.ts';
import {
  type JournalEntry,
  leftBackupJournal,
  restoreJournalName,
} from '../../../src/repository/journal.ts';
import { type CleanupReport, cleanupVm } from '../../../src/sessions/cleanup/cleanupVm.ts';
import type { BackupVmsOptions } from '../../../src/sessions/backup/backupVms.ts';
import type { OpenVmOptions } from '../../../src/sessions/pipe/openVm.ts';
import type { RestoreVmOptions } from '../../../src/sessions/restore/restoreVm.ts';
import type { LabBench } from '../lab/useLab.ts';
import { vmFoldersOf } from '../repository/repositoryFiles.ts';
import { DiskFolder } from '../../../src/store/folder/diskFolder.ts';

const SCRIPT = fileURLToPath(new URL('vmProcess.mjs', import.meta.url));

export type VmWork =
  | { readonly action: 'backupVms'; readonly options: BackupVmsOptions }
  | { readonly action: 'pipeVm'; readonly options: OpenVmOptions }
  | { readonly action: 'restoreVm'; readonly options: RestoreVmOptions };

/** How the process ended. */
export interface KillResult {
  readonly wasKilled: boolean;
  readonly output: string;
  /** Open on the engine right after the kill. */
  readonly leftovers: readonly string[];
}

/**
 * Runs `work` and kills its process at the matching request. The engine still carries that request
 * out.
 */
export async function killAt(bench: LabBench, match: LabMatch, work: VmWork): Promise<KillResult> {
  const { lab } = bench;
  const child = spawn(process.execPath, [SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (output += piece));
  const fault = lab.faults.add(
    { nth: 1, ...match },
    {
      run: async () => {
        child.kill('SIGKILL');
        await closed;
      },
    },
  );
  child.stdin.end(JSON.stringify(work));
  await closed;
  // The engine still handles the last request.
  await new Promise(setImmediate);
  lab.faults.remove(fault);
  return { wasKilled: child.signalCode === 'SIGKILL', output, leftovers: lab.leftovers() };
}

const GONE_PID = 4_194_304;

function folderOf(bench: LabBench): string {
  const [folder] = vmFoldersOf(bench.repository);
  if (folder === undefined) throw new Error('no VM in the repository');
  return folder;
}

/** Steps of the backup journal now. */
export async function backupSteps(bench: LabBench): Promise<readonly JournalEntry[]> {
  return (await leftBackupJournal(new DiskFolder(folderOf(bench))))?.entries ?? [];
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

/** Writes the journal of a restore that was killed after these steps. */
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
