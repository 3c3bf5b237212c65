/** Memory and threads for chains of stages that a program puts together itself. */
import { CancelledError, UsageError } from '../../core/errors.ts';
import { MIB } from '../../core/units.ts';
import { checkBlockSize } from '../../container/write/containerWriter.ts';
import type { BlockDevice, DiskMode } from '../../flow/records.ts';
import type { ParentDisk } from '../../flow/fingerprintMap.ts';
import { PipelineResources } from '../shared/pipelineResources.ts';
import { PipelineDisk } from './pipelineDisk.ts';

export interface PipelineOptions {
  /** Size of the blocks of every disk: 256 KiB to 8 MiB, a power of 2. @defaultValue 1 MiB */
  readonly blockSizeBytes?: number | undefined;
  /**
   * Worker threads; 0 computes on the calling thread.
   *
   * @defaultValue the number of CPUs, at most 8
   */
  readonly workers?: number | undefined;
}

export interface PipelineDiskOptions {
  /** Is in every record of the disk. @defaultValue disk */
  readonly diskId?: string | undefined;
  /** Name of the disk in messages. @defaultValue `diskId` */
  readonly alias?: string | undefined;
  /** @defaultValue `compare` with a parent, otherwise `full` */
  readonly mode?: DiskMode | undefined;
  /**
   * The disk as it was. Blocks that it holds become unchanged runs. It must not change while the
   * chain runs.
   */
  readonly parent?: ParentDisk | undefined;
}

/**
 * Memory for blocks, and threads. Several disks may be read at the same time; they share both.
 * {@link close} gives them back.
 */
export class Pipeline {
  readonly blockSizeBytes: number;
  readonly #resources: PipelineResources;
  readonly #disks = new Set<PipelineDisk>();
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(blockSizeBytes: number, resources: PipelineResources) {
    this.blockSizeBytes = blockSizeBytes;
    this.#resources = resources;
  }

  /**
   * Begins the chain of one disk. It can be connected once.
   *
   * @param device - stays the caller's, who closes it after the chain.
   * @throws {@link UsageError} `USAGE_WRONG_STATE` after {@link close}
   */
  disk(device: BlockDevice, options: PipelineDiskOptions = {}): PipelineDisk {
    if (this.#closing) {
      throw new UsageError('USAGE_WRONG_STATE', 'the pipeline is closed', {
        hint: 'make another one with createPipeline',
      });
    }
    const { diskId = 'disk', alias = diskId, parent } = options;
    const { mode = parent ? 'compare' : 'full' } = options;
    const { blockSizeBytes } = this;
    const { virtualSizeBytes } = device;
    const task = { diskId, alias, virtualSizeBytes, blockSizeBytes, mode };
    const disk: PipelineDisk = new PipelineDisk(task, {
      device,
      parent,
      resources: this.#resources,
      onEnd: () => this.#disks.delete(disk),
    });
    this.#disks.add(disk);
    return disk;
  }

  /**
   * Ends the chains that still run, with `CANCELLED`, and then the threads. May be called twice. A
   * function of a stage or sink must not wait for it, because it waits for these functions.
   */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#resources.stop(new CancelledError('CANCELLED', 'the pipeline was closed'));
    await Promise.all([...this.#disks].map((disk) => disk.settle()));
    await this.#resources[Symbol.asyncDispose]();
  }
}

/**
 * Makes a pipeline. Its memory is 64 MiB, whatever the size of the disks. The caller closes it.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`
 */
export async function createPipeline(options: PipelineOptions = {}): Promise<Pipeline> {
  const { blockSizeBytes = MIB, workers } = options;
  checkBlockSize(blockSizeBytes);
  const resources = await PipelineResources.create({ blockSizeBytes, workers, readsImages: true });
  return new Pipeline(blockSizeBytes, resources);
}
