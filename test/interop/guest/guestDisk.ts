/**
 * A disk of a running guest. It is frozen over QMP, as hosts do it, while the guest keeps writing.
 *
 * - Live backup ("fleecing", libvirt's pull mode): `blockdev-backup` with sync=none copies each
 *   block to a scratch image before the guest overwrites it. QEMU exports the scratch image, with
 *   the changed ranges.
 * - Hybrid backup: an overlay takes the guest's writes. It is committed after the backup.
 *
 * All bitmaps record all the time, and each can be removed alone. Source: libvirt's "Internals of
 * incremental backup handling in qemu", QEMU's "Dirty Bitmaps and Incremental Backup".
 */
import { rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import type { DiskContent, DiskContentSpec, FreezeMarks } from '../../../lab/src/dataPlane.ts';
import type { Guest, GuestDrive } from './guest.ts';
import {
  copyOut,
  GRANULARITY_BYTES,
  type ImageFile,
  newImagePath,
  ownBytes,
  qemuImg,
} from '../qemu/qemu.ts';
import { neverCalled, QemuView } from '../qemu/qemuView.ts';
import type { QmpAction, QmpCommand } from './qmp.ts';

/** The way to freeze a disk of a running guest: see the top of this file. */
export type FreezeMethod = 'fleecing' | 'overlay';

interface NodeBitmaps {
  readonly 'node-name': string;
  readonly 'dirty-bitmaps'?: readonly { readonly name: string; readonly inconsistent?: boolean }[];
}

function command(execute: string, args: object): QmpCommand {
  return { execute, arguments: args };
}

function transaction(actions: readonly QmpAction[]): QmpCommand {
  return command('transaction', { actions });
}

function addNode(name: string, { path: filename, format }: ImageFile, more: object): QmpCommand {
  const file = { driver: 'file', filename, discard: 'unmap' };
  const common = { driver: format, 'node-name': name, discard: 'unmap', file };
  return command('blockdev-add', { ...common, ...more });
}

function addBitmap(node: string, name: string, more: object): QmpAction {
  const data = { node, name, granularity: GRANULARITY_BYTES, ...more };
  return { type: 'block-dirty-bitmap-add', data };
}

function backupJob(id: string, device: string, target: string, sync: 'none' | 'full'): QmpAction {
  const data = { 'job-id': id, device, target, sync, 'auto-dismiss': false };
  return { type: 'blockdev-backup', data };
}

function endJob(id: string, how: 'job-cancel' | 'job-complete'): QmpCommand[] {
  const job = { id };
  return [command(how, job), { await: id, status: 'concluded' }, command('job-dismiss', job)];
}

export class GuestDisk implements DiskContent {
  readonly id: string;
  readonly name: string;
  readonly format = 'cow';
  readonly sizeBytes: number;
  /** For each view, the bytes that the guest overwrote while the view was served. */
  readonly overwrittenBytes: number[] = [];
  readonly #folder: string;
  readonly #method: FreezeMethod;
  #active: GuestDrive;
  /** The frozen node below the active overlay. Undefined when there is no overlay. */
  #base: GuestDrive | undefined;
  #isFrozen = false;
  #afterRelease: (() => void)[] = [];
  #guest: Guest | undefined;

  constructor(folder: string, spec: DiskContentSpec, method: FreezeMethod) {
    this.id = spec.id;
    this.name = spec.name;
    this.sizeBytes = spec.sizeBytes;
    this.#folder = folder;
    this.#method = method;
    this.#active = { name: spec.name, image: this.#newImage('qcow2') };
    qemuImg('create', '-q', '-f', 'qcow2', this.#active.image.path, String(spec.sizeBytes));
  }

  /** Drive for the start of a guest. */
  get drive(): GuestDrive {
    return this.#active;
  }

  /** Sets the guest that writes to the disk from now on. */
  connect(guest: Guest): void {
    this.#guest = guest;
  }

  freeze(marks: FreezeMarks = { bases: [], bitmap: undefined }): QemuView {
    if (this.#isFrozen) throw new Error('the disk is frozen already');
    this.#isFrozen = true;
    return this.#method === 'fleecing' ? this.#fleece(marks) : this.#putOverlay(marks);
  }

  removeBitmap(name: string): void {
    if (this.#isFrozen) return void this.#afterRelease.push(() => this.removeBitmap(name));
    const node = this.#active.name;
    if (this.canServe([name])) {
      this.#qmp(command('block-dirty-bitmap-remove', { node, name }));
    }
  }

  dropBitmaps(): void {
    if (this.#isFrozen) return void this.#afterRelease.push(() => this.dropBitmaps());
    for (const name of this.#bitmaps()) this.removeBitmap(name);
  }

  canServe(names: readonly string[]): boolean {
    const bitmaps = this.#bitmaps();
    return names.every((name) => bitmaps.includes(name));
  }

  allocatedBytes(): number {
    return statSync(this.#active.image.path).blocks * 512;
  }

  releaseStorage(): void {
    rmSync(this.#active.image.path, { force: true });
  }

  read = () => neverCalled('read');
  digest = () => neverCalled('digest');
  write = () => neverCalled('write');
  writeUntracked = () => neverCalled('writeUntracked');
  zero = () => neverCalled('zero');
  resize = () => neverCalled('resize');
  snapshot = () => neverCalled('snapshot');
  breakBitmaps = () => neverCalled('breakBitmaps');
  uploadTarget = () => neverCalled('uploadTarget');

  /** A second backup job makes the reference copy. It begins in the same transaction. */
  #fleece({ bases, bitmap }: FreezeMarks): QemuView {
    const { name: node } = this.#active;
    const [scratchNode, copyNode, shown] = [`${node}-scratch`, `${node}-copy`, `${node}-changed`];
    const scratch = this.#newImage('qcow2');
    qemuImg('create', '-q', '-f', 'qcow2', scratch.path, String(this.sizeBytes));
    const copy = this.#newImage('raw');
    writeFileSync(copy.path, '');
    truncateSync(copy.path, this.sizeBytes);
    const changes: QmpAction[] = [
      addBitmap(node, shown, { disabled: true }),
      { type: 'block-dirty-bitmap-merge', data: { node, target: shown, bitmaps: bases } },
    ];
    this.#qmp(
      addNode(scratchNode, scratch, { backing: node }),
      addNode(copyNode, copy, {}),
      transaction([
        ...(bases.length > 0 ? changes : []),
        ...(bitmap === undefined ? [] : [addBitmap(node, bitmap, { persistent: true })]),
        backupJob(scratchNode, node, scratchNode, 'none'),
        backupJob(copyNode, node, copyNode, 'full'),
      ]),
      { await: copyNode, status: 'concluded' },
      command('job-dismiss', { id: copyNode }),
      command('blockdev-del', { 'node-name': copyNode }),
    );
    const exported = bases.length > 0 ? shown : undefined;
    this.#running.addExport(scratchNode, node, exported);
    return new QemuView({
      referencePath: copy.path,
      image: (wanted) => ({
        path: this.#running.exportSocket,
        format: 'export',
        exportName: node,
        bitmaps: wanted && exported !== undefined ? [exported] : undefined,
      }),
      release: () => this.#endFleecing(scratchNode, scratch, exported),
    });
  }

  #endFleecing(scratchNode: string, scratch: ImageFile, exported: string | undefined): void {
    const { name: node } = this.#active;
    this.#running.removeExport(node);
    const changed = { node, name: exported };
    this.#qmp(
      ...endJob(scratchNode, 'job-cancel'),
      command('blockdev-del', { 'node-name': scratchNode }),
      ...(exported === undefined ? [] : [command('block-dirty-bitmap-remove', changed)]),
    );
    this.overwrittenBytes.push(ownBytes(scratch));
    rmSync(scratch.path);
    this.#released();
  }

  #putOverlay({ bitmap }: FreezeMarks): QemuView {
    const base = this.#active;
    const { path: basePath, format } = base.image;
    const overlay: GuestDrive = { name: `${base.name}-overlay`, image: this.#newImage('qcow2') };
    const backing = ['-u', '-b', basePath, '-F', format];
    const { path: overlayPath } = overlay.image;
    qemuImg('create', '-q', '-f', 'qcow2', ...backing, overlayPath, String(this.sizeBytes));
    const snapshot = { node: base.name, overlay: overlay.name };
    this.#qmp(
      addNode(overlay.name, overlay.image, { backing: null }),
      transaction([
        { type: 'blockdev-snapshot', data: snapshot },
        ...(bitmap === undefined ? [] : [addBitmap(overlay.name, bitmap, { persistent: true })]),
      ]),
    );
    [this.#base, this.#active] = [base, overlay];
    const { path: referencePath } = this.#newImage('raw');
    copyOut(base.image, referencePath);
    return new QemuView({
      referencePath,
      image: (bitmaps) => ({ ...base.image, bitmaps }),
      release: () => this.#commitOverlay(base, overlay, bitmap),
    });
  }

  /**
   * Merges the overlay into its base. The new bitmap moves to the base when the job is ready: from
   * then on every write reaches both images.
   */
  #commitOverlay(base: GuestDrive, overlay: GuestDrive, bitmap: string | undefined): void {
    const jobId = `${base.name}-commit`;
    const bitmaps = [{ node: overlay.name, name: bitmap }];
    const merge = { node: base.name, target: bitmap, bitmaps };
    const moved = transaction([
      addBitmap(base.name, bitmap ?? '', { persistent: true }),
      { type: 'block-dirty-bitmap-merge', data: merge },
    ]);
    this.#qmp(
      command('block-commit', { 'job-id': jobId, device: overlay.name, 'auto-dismiss': false }),
      { await: jobId, status: 'ready' },
      ...(bitmap === undefined ? [] : [moved]),
      ...endJob(jobId, 'job-complete'),
      command('blockdev-del', { 'node-name': overlay.name }),
    );
    this.overwrittenBytes.push(ownBytes(overlay.image));
    rmSync(overlay.image.path);
    [this.#base, this.#active] = [undefined, base];
    this.#released();
  }

  #released(): void {
    this.#isFrozen = false;
    const waiting = this.#afterRelease;
    this.#afterRelease = [];
    for (const work of waiting) work();
  }

  /** Names of the bitmaps that QEMU can use, of the active node and of its base. */
  #bitmaps(): string[] {
    const [nodes] = this.#qmp(command('query-named-block-nodes', { flat: true }));
    const mine = [this.#active.name, this.#base?.name];
    return (nodes as NodeBitmaps[])
      .filter((node) => mine.includes(node['node-name']))
      .flatMap((node) => node['dirty-bitmaps'] ?? [])
      .flatMap(({ name, inconsistent }) => (inconsistent === true ? [] : [name]));
  }

  get #running(): Guest {
    if (!this.#guest) throw new Error('the disk has no guest');
    return this.#guest;
  }

  #qmp(...commands: readonly QmpCommand[]): unknown[] {
    return this.#running.qmp(...commands);
  }

  #newImage(format: ImageFile['format']): ImageFile {
    return { path: newImagePath(this.#folder, this.name, format), format };
  }
}
