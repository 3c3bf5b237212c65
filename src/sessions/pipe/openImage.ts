/** Opens a disk image, or a device of one's own, for piping. */
import path from 'node:path';
import { sessionMessage, type SessionMessage } from '../../core/messages.ts';
import type { Logger } from '../../core/log.ts';
import { MIB } from '../../core/units.ts';
import { checkBlockSize } from '../../container/write/containerWriter.ts';
import { openRawImage, type RawImage, type SourceFormat } from '../../devices/rawImageDevice.ts';
import type { BlockDevice } from '../../flow/records.ts';
import type { OpenPoint } from '../../points/openPoint.ts';
import type { DiskChainInput } from '../shared/diskChain.ts';
import { PipelineResources } from '../shared/pipelineResources.ts';
import { SessionLog } from '../shared/sessionLog.ts';
import { type BackupSource, OpenBackup } from './openBackup.ts';
import type { DiskSummary } from './openDisk.ts';
import { pipeParent } from './pipeParent.ts';

export interface OpenImageOptions {
  /** Name of the disk. @defaultValue the file name of the image */
  readonly name?: string | undefined;
  /** Only blocks that differ from this point's disk of the same name are passed on. */
  readonly parent?: OpenPoint | undefined;
  /** `raw` reads a file of another format byte by byte. Without it such files are refused. */
  readonly imageFormat?: SourceFormat | undefined;
  /** Size of the blocks that a sink gets. @defaultValue 1 MiB, or that of `parent` */
  readonly blockSizeBytes?: number | undefined;
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  /** Hands out copies of blocks that are taken away afterwards. For tests of a sink. */
  readonly debugOwnership?: boolean | undefined;
}

class ImageSource implements BackupSource {
  readonly vmId = '';
  readonly vmName: string;
  readonly disks: readonly DiskSummary[];
  readonly #device: BlockDevice;
  readonly #image: RawImage | undefined;
  readonly #input: DiskChainInput;
  readonly #session: SessionLog;

  constructor(
    summary: DiskSummary,
    input: DiskChainInput,
    image: RawImage | undefined,
    session: SessionLog,
  ) {
    this.vmName = summary.alias;
    this.disks = [summary];
    this.#input = input;
    this.#device = input.device;
    this.#image = image;
    this.#session = session;
  }

  get messages(): readonly SessionMessage[] {
    return this.#session.messages;
  }

  open(): Promise<DiskChainInput> {
    return Promise.resolve(this.#input);
  }

  async done(): Promise<void> {
    const image = this.#image;
    if (!image || !(await image.hasChanged())) return;
    const { alias, id } = this.disks[0] ?? { alias: '', id: '' };
    this.#session.note(sessionMessage('DSK-112', { path: image.path, alias, id }));
  }

  finish(): Promise<string> {
    return Promise.resolve('');
  }

  stop(): void {}

  async abandon(): Promise<void> {}

  async release(): Promise<void> {
    await this.#device.close();
  }
}

/**
 * Opens an image file, a block device or a device of one's own as a backup with one disk. Its
 * `finish` gives no checkpoint. The device belongs to the backup, which closes it.
 *
 * @throws {@link UsageError} `USAGE_IMAGE_UNREADABLE`, `USAGE_INVALID_OPTION`, `USAGE_NOT_FOUND`
 *   for a parent that lacks the disk
 */
export async function openImage(
  source: string | BlockDevice,
  options: OpenImageOptions = {},
): Promise<OpenBackup> {
  const { parent, workers, signal, debugOwnership } = options;
  if (options.blockSizeBytes !== undefined) checkBlockSize(options.blockSizeBytes);
  const image =
    typeof source === 'string' ? await openRawImage(source, options.imageFormat) : undefined;
  const device = image ?? (source as BlockDevice);
  try {
    const name = options.name ?? (image ? path.basename(image.path) : 'disk');
    const compared = parent && (await pipeParent(parent, options.blockSizeBytes));
    const known = compared?.disk(name);
    const blockSizeBytes = compared?.blockSizeBytes ?? options.blockSizeBytes ?? MIB;
    const mode = known ? 'compare' : 'full';
    const reason = known ? `compared with restore point ${parent?.number}` : 'whole image';
    const id = known?.diskId ?? name;
    const { virtualSizeBytes } = device;
    const task = { diskId: id, alias: name, virtualSizeBytes, blockSizeBytes, mode } as const;
    const pipeline = { blockSizeBytes, workers, readsImages: image !== undefined };
    const resources = await PipelineResources.create(pipeline);
    const session = new SessionLog(options, { image: name });
    const summary = { id, alias: name, virtualSizeBytes, mode, reason } as const;
    const input = { task, device, parent: known?.parent };
    const opened = new ImageSource(summary, input, image, session);
    return new OpenBackup(opened, { resources, signal, debugOwnership });
  } catch (error) {
    await device.close();
    throw error;
  }
}
