/** Streams one disk of a VM to a file or to another program. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { Writable } from 'node:stream';
import { errnoOf, UsageError } from '../../core/errors.ts';
import type { SessionMessage } from '../../core/messages.ts';
import { outputExists } from '../shared/imageFiles.ts';
import type { OpenDisk, PipeProgress, PipeReport } from './openDisk.ts';
import { openVm, type OpenVmOptions } from './openVm.ts';
import {
  ndjsonFileStream,
  ndjsonPipeSink,
  rawFileStream,
  rawPipeSink,
  type StreamSink,
} from './streamSinks.ts';

export type StreamFormat = 'raw' | 'ndjson';

export interface StreamDiskOptions
  extends Omit<OpenVmOptions, 'disks' | 'excludeDisks' | 'parent'> {
  /** Id or alias of the disk. */
  readonly disk: string;
  /** A new file, or a Writable of bytes such as stdout. It is not ended. */
  readonly output: string | Writable;
  readonly format: StreamFormat;
  readonly onProgress?: ((progress: PipeProgress) => void) | undefined;
}

export interface StreamReport extends PipeReport {
  readonly type: 'stream';
  readonly vmName: string;
  /** Base of the next stream; empty when there is none. */
  readonly checkpointId: string;
  readonly messages: readonly SessionMessage[];
}

/**
 * Streams one disk. The backup of the engine ends after the last byte was taken. A file gets its
 * name only when it is complete.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for `since` with format raw, which holds whole
 *   disks; `USAGE_OUTPUT_EXISTS`; {@link OutputError}; errors of {@link openVm}
 */
export async function streamDisk(options: StreamDiskOptions): Promise<StreamReport> {
  const { disk: name, output, format, onProgress, ...rest } = options;
  if (format === 'raw' && options.since !== undefined) throw rawHoldsWholeDisks();
  if (typeof output === 'string') await requireNew(output, format);
  const signal = options.signal ?? new AbortController().signal;
  await using backup = await openVm({ ...rest, disks: [name] });
  const [disk] = backup.disks;
  if (!disk) throw new UsageError('USAGE_NOT_FOUND', `${backup.vmName} has no disk "${name}"`);
  const sink = await openSink(disk, options, signal);
  try {
    const { block, zero } = sink;
    const report = await disk.pipe({ block, zero, onProgress });
    const { checkpointId, messages } = await backup.finish();
    await sink.finish(checkpointId);
    return { type: 'stream', vmName: backup.vmName, ...report, checkpointId, messages };
  } catch (error) {
    await sink.abandon();
    throw error;
  }
}

async function openSink(
  disk: OpenDisk,
  { output, format }: StreamDiskOptions,
  signal: AbortSignal,
): Promise<StreamSink> {
  const { id: diskId, alias, virtualSizeBytes, mode, reason } = disk;
  const head = { diskId, alias, virtualSizeBytes, mode, reason };
  if (typeof output === 'string') {
    return format === 'raw'
      ? await rawFileStream(output, virtualSizeBytes)
      : await ndjsonFileStream(output, head);
  }
  return format === 'raw'
    ? rawPipeSink(output, signal)
    : await ndjsonPipeSink(output, head, signal);
}

async function requireNew(output: string, format: StreamFormat): Promise<void> {
  const files = format === 'raw' ? [output] : [output, `${output}.data`];
  for (const file of files) {
    const found = await stat(file).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (found) throw outputExists(file);
  }
  const folder = path.dirname(path.resolve(output));
  const parent = await stat(folder).catch(() => {});
  if (!parent?.isDirectory()) {
    throw new UsageError('USAGE_INVALID_OPTION', `${folder} is not a folder`, {
      hint: 'name a file in a folder that exists',
    });
  }
}

function rawHoldsWholeDisks(): UsageError {
  return new UsageError(
    'USAGE_INVALID_OPTION',
    'format raw with a checkpoint: raw is a whole disk',
    {
      hint: 'use --format ndjson for changes, or leave --since out',
    },
  );
}
