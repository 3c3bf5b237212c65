/** A frozen view of a real disk: the image that QEMU serves, and a reference copy for the tests. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import type { FrozenView, TargetImage, ViewExtent } from '../../../lab/src/dataPlane.ts';

const PIECE_BYTES = 1024 ** 2;

/** For methods that only the lab's own imageio calls. */
export function neverCalled(what: string): never {
  throw new Error(`${what}: the daemon reads real images itself`);
}

export interface QemuViewOptions {
  /** A raw copy of the content. Neither imageio nor the product took part in it. */
  readonly referencePath: string;
  /** The image that a ticket serves. Bitmaps as in {@link FrozenView.image}. */
  readonly image: (bitmaps: readonly string[] | undefined) => TargetImage;
  readonly release: () => void;
}

export class QemuView implements FrozenView {
  readonly sizeBytes: number;
  /** See {@link QemuViewOptions.referencePath}. Tests compare restored disks with it. */
  readonly referencePath: string;
  readonly #options: QemuViewOptions;

  constructor(options: QemuViewOptions) {
    this.referencePath = options.referencePath;
    this.sizeBytes = statSync(options.referencePath).size;
    this.#options = options;
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
    return this.#options.image(bitmaps);
  }

  release(): void {
    this.#options.release();
  }
}
