/**
 * A disk of the lab that is a real image file. Its checkpoints are QEMU's dirty bitmaps. Guest
 * writes go through qemu-io. A view is frozen as vdsm does it: an overlay takes the later writes.
 * After the backup the overlay is merged back, with its bitmaps.
 */
import { closeSync, openSync, readSync, renameSync, rmSync, statSync } from 'node:fs';
import type {
  DiskContent,
  DiskContentSpec,
  FreezeMarks,
  TicketTarget,
} from '../../../lab/src/dataPlane.ts';
import type { LabDiskFormat } from '../../../lab/src/types.ts';
import {
  addBitmap,
  bitmapsOf,
  copyOut,
  crashWriter,
  guestWrite,
  type ImageFile,
  mergeBitmap,
  newImagePath,
  qemuImg,
  qemuIo,
} from './qemu.ts';
import { neverCalled, QemuView } from './qemuView.ts';

const PAGE_BYTES = 4096;
/** Most bytes of one zero or discard command: qemu-io refuses lengths of 2 GiB and more. */
const MAX_ZERO_BYTES = 1024 ** 3;

interface FrozenLayer {
  readonly image: ImageFile;
  isReleased: boolean;
}

export class QemuDisk implements DiskContent {
  readonly id: string;
  readonly name: string;
  readonly format: LabDiskFormat;
  readonly #folder: string;
  /** Layers below the active image, base first. */
  readonly #frozen: FrozenLayer[] = [];
  /** Names of the bitmaps, oldest first. */
  #names: string[] = [];
  /** Work that must wait until no view is frozen. */
  #afterMerge: (() => void)[] = [];
  #active: ImageFile;
  #sizeBytes: number;

  constructor(folder: string, spec: DiskContentSpec) {
    this.id = spec.id;
    this.name = spec.name;
    this.format = spec.format;
    this.#folder = folder;
    this.#sizeBytes = spec.sizeBytes;
    this.#active = this.#newImage(spec.format === 'raw' ? 'raw' : 'qcow2');
    const { path: file, format } = this.#active;
    // vdsm makes preallocated volumes of file domains in this way.
    const options = spec.sparse ? [] : ['-o', 'preallocation=falloc'];
    qemuImg('create', '-q', '-f', format, ...options, file, String(spec.sizeBytes));
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The image that takes the guest's writes. */
  get image(): ImageFile {
    return this.#active;
  }

  /** Replaces the image by another one, which is moved. Its backing files stay where they are. */
  adopt(image: ImageFile): void {
    const target = this.#newImage(image.format);
    renameSync(image.path, target.path);
    rmSync(this.#active.path);
    this.#active = target;
    this.#sizeBytes = this.#readSize();
  }

  read(offsetBytes: number, lengthBytes: number): Buffer {
    const first = Math.floor(offsetBytes / PAGE_BYTES);
    const count = Math.ceil((offsetBytes + lengthBytes) / PAGE_BYTES) - first;
    const to = `${this.#active.path}.piece`;
    const { path: from, format } = this.#active;
    const range = [`bs=${PAGE_BYTES}`, `skip=${first}`, `count=${first + count}`];
    qemuImg('dd', '-U', '-f', format, '-O', 'raw', ...range, `if=${from}`, `of=${to}`);
    const bytes = Buffer.alloc(lengthBytes);
    const file = openSync(to, 'r');
    readSync(file, bytes, 0, lengthBytes, offsetBytes - first * PAGE_BYTES);
    closeSync(file);
    rmSync(to);
    return bytes;
  }

  digest(): string {
    return this.snapshot().digest();
  }

  allocatedBytes(): number {
    return statSync(this.#active.path).blocks * 512;
  }

  write(offsetBytes: number, bytes: Uint8Array): void {
    if (bytes.length > 0) guestWrite(this.#active, offsetBytes, bytes);
  }

  writeUntracked(offsetBytes: number, bytes: Uint8Array): void {
    const recording = bitmapsOf(this.#active).filter((one) => one.isRecording && !one.isBroken);
    const { path: file } = this.#active;
    for (const { name } of recording) qemuImg('bitmap', '--disable', file, name);
    this.write(offsetBytes, bytes);
    for (const { name } of recording) qemuImg('bitmap', '--enable', file, name);
  }

  zero(offsetBytes: number, lengthBytes: number): void {
    this.#inSteps(offsetBytes, lengthBytes, 'write -q -z -u');
  }

  /** TRIM. It promises no zeros, but QEMU reads zeros from discarded clusters of qcow2. */
  discard(offsetBytes: number, lengthBytes: number): void {
    this.#inSteps(offsetBytes, lengthBytes, 'discard -q');
  }

  resize(sizeBytes: number): void {
    const { path: file, format } = this.#active;
    const shrink = sizeBytes < this.#sizeBytes ? ['--shrink'] : [];
    qemuImg('resize', '-q', '-f', format, ...shrink, file, String(sizeBytes));
    this.#sizeBytes = sizeBytes;
  }

  snapshot(): QemuView {
    return this.#viewOf(this.#active, () => {});
  }

  freeze(marks?: FreezeMarks): QemuView {
    const layer: FrozenLayer = { image: this.#active, isReleased: false };
    const view = this.#viewOf(this.#active, () => {
      layer.isReleased = true;
      this.#mergeReleased();
    });
    this.#frozen.push(layer);
    const { path: base, format } = this.#active;
    this.#active = this.#newImage('qcow2');
    qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', format, this.#active.path);
    if (marks?.bitmap !== undefined) this.#addBitmap(marks.bitmap);
    return view;
  }

  #viewOf(image: ImageFile, release: () => void): QemuView {
    const referencePath = newImagePath(this.#folder, this.name, 'view.raw');
    copyOut(image, referencePath);
    return new QemuView({
      referencePath,
      image: (bitmaps) => ({ ...image, bitmaps }),
      release,
    });
  }

  #addBitmap(name: string): void {
    for (const layer of this.#layers()) {
      for (const { name: older, isRecording, isBroken } of bitmapsOf(layer)) {
        if (isRecording && !isBroken) qemuImg('bitmap', '--disable', layer.path, older);
      }
    }
    addBitmap(this.#active.path, name);
    this.#names.push(name);
  }

  removeBitmap(name: string): void {
    if (this.#frozen.length > 0) return void this.#afterMerge.push(() => this.removeBitmap(name));
    const at = this.#names.indexOf(name);
    if (at < 0) return;
    const older = this.#names[at - 1];
    const bitmap = bitmapsOf(this.#active).find((one) => one.name === name);
    const { path: file } = this.#active;
    if (older !== undefined && bitmap && !bitmap.isBroken) {
      qemuImg('bitmap', '--merge', name, file, older);
      if (bitmap.isRecording) qemuImg('bitmap', '--enable', file, older);
    }
    if (bitmap) qemuImg('bitmap', '--remove', file, name);
    this.#names.splice(at, 1);
  }

  dropBitmaps(): void {
    if (this.#frozen.length > 0) return void this.#afterMerge.push(() => this.dropBitmaps());
    for (const { name } of bitmapsOf(this.#active)) {
      qemuImg('bitmap', '--remove', this.#active.path, name);
    }
    this.#names = [];
  }

  breakBitmaps(): void {
    if (this.#active.format === 'qcow2') crashWriter(this.#active);
  }

  canServe(names: readonly string[]): boolean {
    const usable = this.#layers()
      .flatMap((layer) => bitmapsOf(layer))
      .filter(({ isBroken }) => !isBroken);
    return names.every((name) => usable.some((bitmap) => bitmap.name === name));
  }

  uploadTarget(): TicketTarget {
    return {
      diskId: this.id,
      sizeBytes: this.#sizeBytes,
      read: () => neverCalled('read'),
      extents: () => neverCalled('extents'),
      image: { ...this.#active, bitmaps: undefined },
    };
  }

  releaseStorage(): void {
    for (const { path: file } of this.#layers()) rmSync(file, { force: true });
  }

  /** All layers, base first. */
  #layers(): ImageFile[] {
    return [...this.#frozen.map(({ image }) => image), this.#active];
  }

  #inSteps(offsetBytes: number, lengthBytes: number, command: string): void {
    const endBytes = offsetBytes + lengthBytes;
    for (let at = offsetBytes; at < endBytes; at += MAX_ZERO_BYTES) {
      qemuIo(this.#active, `${command} ${at} ${Math.min(MAX_ZERO_BYTES, endBytes - at)}`);
    }
  }

  #mergeReleased(): void {
    for (let below = this.#frozen.at(-1); below?.isReleased; below = this.#frozen.at(-1)) {
      this.#mergeInto(below.image);
      this.#frozen.pop();
      this.#active = below.image;
    }
    if (this.#frozen.length > 0) return;
    const waiting = this.#afterMerge;
    this.#afterMerge = [];
    for (const work of waiting) work();
  }

  /**
   * Merges the active layer into its base as vdsm does: first the data, then the bitmaps. In the
   * other order the recording bitmap would record the merged data as new writes.
   */
  #mergeInto(base: ImageFile): void {
    const { path: top } = this.#active;
    qemuImg('commit', '-q', '-d', '-f', 'qcow2', top);
    for (const { name, isRecording, isBroken } of bitmapsOf(this.#active)) {
      if (isBroken || base.format === 'raw') continue;
      addBitmap(base.path, name, { isRecording });
      mergeBitmap({ path: top, format: 'qcow2' }, name, base.path, name);
    }
    rmSync(top);
  }

  #readSize(): number {
    const { path: file, format } = this.#active;
    const info = JSON.parse(qemuImg('info', '--output=json', '-f', format, file)) as object;
    return Number(Reflect.get(info, 'virtual-size'));
  }

  #newImage(format: ImageFile['format']): ImageFile {
    return { path: newImagePath(this.#folder, this.name, format), format };
  }
}
