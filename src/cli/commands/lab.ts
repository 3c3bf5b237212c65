/**
 * `lab`: the simulated engine as a process. Its password and CA certificate are in a private
 * folder.
 */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { EXIT_CODES } from '../../core/errors.ts';
import { loadLab, startLab } from './labPackage.ts';
import type { CommandContext } from '../context.ts';

/** Factor for the waits of the engine: fast, but slow enough to watch. */
const TIME_SCALE = 0.05;

/** Serves the engine until the command is stopped, which is its regular end. */
export async function serveLab(context: CommandContext, port: number | undefined): Promise<number> {
  context.stopText = 'stopping the lab';
  const labPackage = await loadLab();
  const folder = await mkdtemp(path.join(tmpdir(), 'ovirt-cbt-lab-'));
  context.leftText = `the folder ${folder} with the password of the lab may be left; delete it`;
  try {
    await using lab = await startLab(labPackage, { port, timeScale: TIME_SCALE });
    labPackage.addSampleVms(lab);
    // So that a second backup has something to show.
    labPackage.letGuestsWrite(lab);
    const caFile = path.join(folder, 'ca.pem');
    const passwordFile = path.join(folder, 'password');
    await writeFile(caFile, lab.caPem, { mode: 0o600 });
    await writeFile(passwordFile, lab.password, { mode: 0o600 });
    const { url, username } = lab;
    const vms = lab.vms.map((vm) => vm.name);
    const text = [
      `export OVIRT_URL=${url}`,
      `export OVIRT_USERNAME=${username}`,
      `export OVIRT_PASSWORD_FILE=${passwordFile}`,
      `export OVIRT_CAFILE=${caFile}`,
      `# VMs: ${vms.join(', ')}; Ctrl-C ends the lab`,
    ].join('\n');
    context.print({ type: 'lab', url, username, passwordFile, caFile, vms }, text);
    if (!context.signal.aborted) await once(context.signal, 'abort');
    return EXIT_CODES.done;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
