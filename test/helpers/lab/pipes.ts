/** Sinks of pipes, and VMs of a lab that are piped. */
import { createRequire } from 'node:module';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabVm } from '../../../lab/src/index.ts';
import type { BlockSink, PipedBlock, PipedRecord } from '../../../src/flow/sinks/blockSink.ts';
import type { FinishReport, OpenBackup } from '../../../src/sessions/pipe/openBackup.ts';
import { openVm, type OpenVmOptions } from '../../../src/sessions/pipe/openVm.ts';
import { BLOCK_BYTES } from '../bytes/images.ts';
import { LAB_TIMINGS } from './plainLab.ts';
import type { LabBench } from './useLab.ts';

/** The package has no types. */
const lz4 = createRequire(import.meta.url)('lz4') as {
  decodeBlock(source: Uint8Array, target: Uint8Array): number;
};

/** A copy of a disk that a sink writes. It may become larger and smaller. */
export class DiskCopy {
  bytes: Buffer = Buffer.alloc(0);
  /** Records so far. */
  count = 0;

  /**
   * Changes the size, as a caller does before an increment of a resized disk: what is added is
   * zero. The bytes before a full are not.
   */
  resize(sizeBytes: number): void {
    if (sizeBytes === this.bytes.length) return;
    const next = Buffer.alloc(sizeBytes, this.bytes.length === 0 ? 7 : 0);
    this.bytes.copy(next);
    this.bytes = next;
  }

  readonly apply = (record: PipedRecord): void => {
    const { offsetBytes, lengthBytes } = record;
    if (offsetBytes + lengthBytes > this.bytes.length) throw new RangeError('beyond the disk');
    this.count++;
    if (record.kind === 'zero') this.bytes.fill(0, offsetBytes, offsetBytes + lengthBytes);
    else this.bytes.set(plainBytes(record), offsetBytes);
  };

  sink(): BlockSink {
    return { block: this.apply, zero: this.apply };
  }

  /** A sink that takes its time. */
  slowSink(delayMs: number): BlockSink {
    const take = async (record: PipedRecord): Promise<void> => {
      await sleep(delayMs);
      this.apply(record);
    };
    return { block: take, zero: take };
  }

  writable(): Writable {
    return new Writable({
      objectMode: true,
      write: (record: PipedRecord, _encoding, done) => {
        setImmediate(() => {
          this.apply(record);
          done();
        });
      },
    });
  }
}

/** Bytes of the disk, expanded by the decoder of the package. */
export function plainBytes({ codec, bytes, lengthBytes }: PipedBlock): Buffer {
  if (codec === 'plain') return bytes;
  const plain = Buffer.alloc(lengthBytes);
  if (lz4.decodeBlock(bytes, plain) !== lengthBytes) throw new Error('an LZ4 block is too short');
  return plain;
}

/** Options of `openVm` that all tests share. Its journal is the repository of the bench. */
export function pipeOptions(bench: LabBench, given: Partial<OpenVmOptions> = {}): OpenVmOptions {
  return {
    engine: bench.settings({ ...LAB_TIMINGS }),
    vm: 'web01',
    journal: bench.repository,
    blockSizeBytes: BLOCK_BYTES,
    workers: 0,
    ...given,
  };
}

/** The copies of all disks of a VM, by disk id. */
export class VmCopy {
  readonly #copies = new Map<string, DiskCopy>();

  of(disk: { readonly id: string; readonly virtualSizeBytes: number }): DiskCopy {
    const copy = this.#copies.get(disk.id) ?? new DiskCopy();
    this.#copies.set(disk.id, copy);
    copy.resize(disk.virtualSizeBytes);
    return copy;
  }

  /** Aliases of the piped disks whose copy differs from the frozen view. */
  differences(vm: LabVm, backup: OpenBackup, checkpointOrBackupId: string): string[] {
    return backup.disks
      .filter((disk) => {
        const view = vm.frozenView(checkpointOrBackupId, disk.id);
        const { bytes } = this.of(disk);
        return bytes.length !== view.sizeBytes || !bytes.equals(view.read(0, view.sizeBytes));
      })
      .map((disk) => `${disk.alias} (${disk.mode})`);
  }
}

/** Pipes all disks of a VM at the same time, and finishes. */
export async function pipeAll(
  bench: LabBench,
  copy: VmCopy,
  given: Partial<OpenVmOptions> = {},
): Promise<FinishReport & { readonly backup: OpenBackup }> {
  await using backup = await openVm(pipeOptions(bench, given));
  await Promise.all(backup.disks.map((disk) => disk.pipe(copy.of(disk).sink())));
  return { ...(await backup.finish()), backup };
}
