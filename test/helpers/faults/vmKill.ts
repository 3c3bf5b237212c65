/** Sessions and restores in a process of their own, and requests at which that process is killed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { LabMatch } from '../../../lab/src/index.ts';
import type { BackupVmsOptions } from '../../../src/sessions/backup/backupVms.ts';
import type { RestoreVmOptions } from '../../../src/sessions/restore/restoreVm.ts';
import type { LabBench } from '../lab/useLab.ts';

const SCRIPT = fileURLToPath(new URL('vmProcess.mjs', import.meta.url));

export type VmWork =
  | { readonly action: 'backupVms'; readonly options: BackupVmsOptions }
  | { readonly action: 'restoreVm'; readonly options: RestoreVmOptions };

/** What a process that was to be killed came to. */
export interface KillResult {
  readonly wasKilled: boolean;
  readonly output: string;
  /** What was open on the engine right after the kill. */
  readonly leftovers: readonly string[];
}

/** Runs `work` and kills it with the request that matches, which the engine still carries out. */
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
  // The engine's answer to the last request.
  await new Promise(setImmediate);
  lab.faults.remove(fault);
  return { wasKilled: child.signalCode === 'SIGKILL', output, leftovers: lab.leftovers() };
}
