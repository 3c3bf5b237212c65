/** Disks piped to sinks of the caller. For child processes. */
import { setTimeout as wait } from 'node:timers/promises';
import { type DiskSink, type EngineSettings, openImage, openVm } from '../src/index.ts';

export interface PipeVmArgument {
  readonly engine: EngineSettings;
  readonly vm: string;
  readonly journal: string;
  readonly workers: number;
}

export interface PipeImageArgument {
  readonly image: string;
  readonly workers: number;
  /** Limits the sink. Undefined: it takes everything at once. */
  readonly bytesPerSecond?: number | undefined;
}

export interface PipeAnswer {
  readonly checksum: string;
  /** Time of the pipe alone. */
  readonly seconds: number;
}

/** A sink that keeps nothing, as fast as it may. */
function nullSink(bytesPerSecond: number | undefined): DiskSink {
  const startedAtMs = performance.now();
  let takenBytes = 0;
  return {
    compress: 'lz4',
    block({ lengthBytes }) {
      takenBytes += lengthBytes;
      if (bytesPerSecond === undefined) return undefined;
      const dueMs = startedAtMs + (takenBytes / bytesPerSecond) * 1000;
      return wait(Math.max(0, dueMs - performance.now()));
    },
    zero() {},
  };
}

/** Pipes an image, compressed, to a sink that keeps nothing. */
export async function pipeImage(given: PipeImageArgument): Promise<PipeAnswer> {
  const { image, workers, bytesPerSecond } = given;
  await using backup = await openImage(image, { workers });
  const [disk] = backup.disks;
  if (!disk) throw new Error('the image has no disk');
  const report = await disk.pipe(nullSink(bytesPerSecond));
  return { checksum: `${report.readBytes}`, seconds: report.wallSeconds };
}

/** Pipes the disk of a VM, compressed, to a sink that keeps nothing. */
export async function pipeVm(given: PipeVmArgument): Promise<PipeAnswer> {
  await using backup = await openVm(given);
  const [disk] = backup.disks;
  if (!disk) throw new Error('the VM has no disk');
  const report = await disk.pipe(nullSink(undefined));
  await backup.finish();
  return { checksum: `${report.readBytes}`, seconds: report.wallSeconds };
}
