/** The content of a real disk at one moment: an image below an overlay, and a copy of it for the tests. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import type { FrozenView, TargetImage, ViewExtent } from '../../src/lab/dataPlane.ts';
import { type ImageFile, qemuImg } from './qemu.ts';

const PIECE_BYTES = 1024 ** 2;

/** What the lab's own imageio would ask of a disk. */
export function neverCalled(what: string): never {
  throw new Error(`${what}: the daemon reads real images itself`);
}

/** A whole copy of what QEMU reads from an image at this moment; sparse. */
function copyOut({ path: from, format }: ImageFile, to: string): void {
  qemuImg('convert', '-U', '-f', format, '-O', 'raw', from, to);
}

export class QemuView implements FrozenView {
  readonly sizeBytes: number;
  /** Copy made when the view was frozen, apart from all that is served: the judge of every test. */
  readonly referencePath: string;
  readonly #image: ImageFile;
  readonly #release: () => void;

  constructor(image: ImageFile, referencePath: string, release: () => void) {
    copyOut(image, referencePath);
    this.sizeBytes = statSync(referencePath).size;
    this.referencePath = referencePath;
    this.#image = image;
    this.#release = release;
  }

  read(offsetBytes: number, lengthBytes: number): Buffer {
    const bytes = Buffer.alloc(lengthBytes);
    const file = openSync(this.referencePath, 'r');
    readSync(file, bytes, 0, lengthBytes, offsetBytes);
    closeSync(file);
    return bytes;
  }

  digest(): string {
    const hash = createHash('sha256');
    for (let at = 0; at < this.sizeBytes; at += PIECE_BYTES) {
      hash.update(this.read(at, Math.min(PIECE_BYTES, this.sizeBytes - at)));
    }
    return hash.digest('hex');
  }

  allocatedBytes(): number {
    return statSync(this.referencePath).blocks * 512;
  }

  extents(): ViewExtent[] {
    return neverCalled('extents');
  }

  image(bitmaps: readonly string[] | undefined): TargetImage {
    return { ...this.#image, bitmaps };
  }

  release(): void {
    this.#release();
  }
}
