/** Streams one disk of a VM to a file or to another program. */
import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { Writable } from 'node:stream';
import { errnoOf, invariant, UsageError } from '../../core/errors.ts';
import { silentLogger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import { outputExists } from '../shared/imageFiles.ts';
import { type ProgressCounts, type ProgressEvent, SessionProgress } from '../shared/progress.ts';
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
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
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
  const session = { sessionId: randomUUID(), vmName: options.vm };
  const progress = new SessionProgress(options, options.logger ?? silentLogger, session);
  return await progress.session(() => stream(options, progress));
}

async function stream(
  options: StreamDiskOptions,
  progress: SessionProgress,
): Promise<StreamReport> {
  const { disk: name, output, format, onProgress: _, ...rest } = options;
  if (format === 'raw' && options.since !== undefined) throw rawHoldsWholeDisks();
  if (typeof output === 'string') await requireNew(output, format);
  progress.phase('freezing');
  await using backup = await openVm({ ...rest, disks: [name] });
  progress.nameVm({ id: backup.vmId, name: backup.vmName });
  const [disk] = backup.disks;
  invariant(disk, 'an opened VM has a disk');
  const sink = await openSink(disk, options);
  try {
    progress.phase('reading');
    const report = await pipe(disk, sink, progress);
    progress.phase('finalizing');
    const { checkpointId, messages } = await backup.finish();
    await sink.finish(checkpointId);
    return { type: 'stream', vmName: backup.vmName, ...report, checkpointId, messages };
  } catch (error) {
    await sink.abandon();
    throw error;
  }
}

async function pipe(
  disk: OpenDisk,
  sink: StreamSink,
  progress: SessionProgress,
): Promise<PipeReport> {
  let last: Pick<PipeProgress, 'dataBytes' | 'readBytes'> = { dataBytes: 0, readBytes: 0 };
  const counts = (): ProgressCounts => ({ doneBytes: last.readBytes, readBytes: last.readBytes });
  const { id: diskId, alias, mode, virtualSizeBytes: sizeBytes } = disk;
  const onProgress = (now: PipeProgress): void => {
    last = now;
  };
  return await progress.disk({ diskId, alias, mode, sizeBytes }, counts, () =>
    disk.pipe({
      block: (block) => sink.block(block),
      zero: (zero) => sink.zero(zero),
      onProgress,
    }),
  );
}

async function openSink(
  disk: OpenDisk,
  { output, format, signal = new AbortController().signal }: StreamDiskOptions,
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
