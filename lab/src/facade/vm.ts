/** A VM of the lab, with the actions of guests, administrators and other products. */
import { randomUUID } from 'node:crypto';
import { LabError } from '../errors.ts';
import { abortBackup, stopBackup } from '../state/backups/machine.ts';
import { startBackup } from '../state/backups/start.ts';
import { removeAllCheckpoints, removeEmptyCheckpoints } from '../state/backups/checkpoints.ts';
import type { Engine } from '../state/core.ts';
import { attachDisk, detachDisk } from '../state/disks/store.ts';
import type { DiskRow, VmRow } from '../state/rows.ts';
import { addLabDisk } from './setup.ts';
import type { LabDisk, LabDiskSpec, LabView, LabVm, LabVmStatus } from '../types.ts';

function notFound(what: string): LabError {
  return new LabError('LAB_NOT_FOUND', `the lab has no ${what}`);
}

/** A disk of the lab, attached or not. @throws LabError */
export function findDisk(engine: Engine, nameOrId: string): DiskRow {
  const byId = engine.disks.get(nameOrId);
  const disk = byId ?? [...engine.disks.values()].find(({ name }) => name === nameOrId);
  if (!disk) throw notFound(`disk ${nameOrId}`);
  return disk;
}

export class EngineLabVm implements LabVm {
  readonly #engine: Engine;
  readonly #row: VmRow;

  constructor(engine: Engine, row: VmRow) {
    this.#engine = engine;
    this.#row = row;
  }

  get id(): string {
    return this.#row.id;
  }

  get name(): string {
    return this.#row.name;
  }

  get status(): LabVmStatus {
    return this.#row.status;
  }

  set status(status: LabVmStatus) {
    this.#row.status = status;
    const backup = this.#engine.unfinishedBackupOf(this.#row.id);
    // A live backup is a pull backup of the QEMU process, which ends with the VM.
    if (status === 'down' && backup?.kind === 'live') abortBackup(this.#engine, backup);
  }

  get disks(): readonly LabDisk[] {
    return this.#engine.attachedDisks(this.#row).map(({ disk }) => disk.data);
  }

  get nics(): LabVm['nics'] {
    return this.#row.nics.map(({ name, mac }) => ({ name, mac }));
  }

  disk(nameOrId: string): LabDisk {
    return this.#attached(nameOrId).data;
  }

  addDisk(spec: LabDiskSpec): LabDisk {
    return addLabDisk(this.#engine, this.#row, spec).data;
  }

  detachDisk(nameOrId: string): void {
    detachDisk(this.#engine, this.#row, this.#attached(nameOrId));
    removeEmptyCheckpoints(this.#engine, this.#row);
  }

  attachDisk(nameOrId: string): void {
    const disk = findDisk(this.#engine, nameOrId);
    attachDisk(this.#row, {
      diskId: disk.id,
      active: true,
      bootable: false,
      readOnly: false,
      passDiscard: false,
      interface: 'virtio_scsi',
    });
  }

  checkpointIds(): readonly string[] {
    return this.#engine.checkpointChain(this.#row.id).map(({ id }) => id);
  }

  revertSnapshot(leaves: 'invalid' | 'removed'): void {
    if (leaves === 'removed') return removeAllCheckpoints(this.#engine, this.#row);
    for (const checkpoint of this.#engine.checkpointChain(this.#row.id)) {
      checkpoint.state = 'invalid';
    }
    for (const { disk } of this.#engine.attachedDisks(this.#row)) disk.data.dropBitmaps();
  }

  startForeignBackup(): string {
    const disks = this.#engine
      .attachedDisks(this.#row)
      .filter(({ attachment, disk }) => attachment.active && disk.storageType === 'image')
      .filter(({ disk }) => !disk.shareable)
      .map(({ disk }) => ({ id: disk.id }));
    const backup = startBackup(this.#engine, {
      vm: this.#row,
      body: { description: 'Backup of another product', disks },
      wantsLegacy: false,
      requiresConsistency: false,
      isForeign: true,
      correlationId: randomUUID(),
    });
    return backup.id;
  }

  endForeignBackup(backupId: string): void {
    const backup = this.#engine.backups.get(backupId);
    if (!backup?.isForeign) throw notFound(`foreign backup ${backupId}`);
    if (backup.kind !== 'hybrid' && !backup.wasReady) abortBackup(this.#engine, backup);
    else stopBackup(this.#engine, backup);
  }

  frozenView(backupOrCheckpointId: string, diskNameOrId: string): LabView {
    const backup = this.#engine.backupHistory.find(
      ({ id, toCheckpointId }) =>
        id === backupOrCheckpointId || toCheckpointId === backupOrCheckpointId,
    );
    const view =
      backup?.views.get(diskNameOrId) ?? backup?.views.get(findDisk(this.#engine, diskNameOrId).id);
    if (!view) throw notFound(`frozen view ${backupOrCheckpointId} of ${diskNameOrId}`);
    return view;
  }

  #attached(nameOrId: string): DiskRow {
    const attached = this.#engine.attachedDisks(this.#row).map(({ disk }) => disk);
    const disk = attached.find(({ id, name }) => id === nameOrId || name === nameOrId);
    if (!disk) throw notFound(`disk ${nameOrId} of VM ${this.name}`);
    return disk;
  }
}
