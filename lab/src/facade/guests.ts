/**
 * Guests that write between backups, for demonstrations: without writes, a second backup finds no
 * change.
 */
import { KIB } from '../units.ts';
import { noise } from './samples.ts';
import type { Lab, LabDisk, LabVm } from '../types.ts';

/** Places of a disk that take the log in turn. So the writes of many rounds stay few. */
const LOG_PLACES = 16;
const LOG_BYTES: number = 48 * KIB;
/** A part that is written again and again, with bytes that no compressor shrinks. */
const TABLE_BYTES: number = 64 * KIB;

function writeRound(disk: LabDisk, round: number): void {
  const strideBytes = Math.floor(disk.sizeBytes / LOG_PLACES / KIB) * KIB;
  const line = `${disk.name}: log of the guest after backup ${round}\n`;
  const log = Buffer.alloc(Math.min(LOG_BYTES, strideBytes), line);
  disk.write((round % LOG_PLACES) * strideBytes, log);
  if (disk.sizeBytes >= 2 * TABLE_BYTES) disk.write(TABLE_BYTES, noise(round, TABLE_BYTES));
}

function watch(lab: Lab, vm: LabVm): void {
  let round = 0;
  const path = new RegExp(`/vms/${vm.id}/backups/[^/]+/finalize`);
  lab.faults.add(
    { server: 'engine', method: 'POST', path },
    {
      run: () => {
        if (vm.status !== 'up') return;
        round++;
        for (const disk of vm.disks) writeRound(disk, round);
      },
    },
  );
}

/**
 * From now on the guests of the VMs that the lab has write a little at the end of each of their
 * backups: at most 112 KiB per disk, always the same for the same number of backups. A VM that is
 * not up writes nothing. `lab.faults.clear()` ends it.
 */
export function letGuestsWrite(lab: Lab): void {
  for (const vm of lab.vms) watch(lab, vm);
}
