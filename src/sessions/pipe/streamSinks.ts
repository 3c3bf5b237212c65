/** Sinks of the command `stream`: raw bytes and NDJSON, to a file or to a pipe. */
import { type FileHandle, open } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { OutputError, toFailure, toOutputError } from '../../core/errors.ts';
import { SyncAhead, writeAll } from '../../core/fileWrites.ts';
import { MIB } from '../../core/units.ts';
import type { BlockSink, PipedBlock, PipedZero } from '../../flow/sinks/blockSink.ts';
import { removeQuietly } from '../../store/folder/durableFile.ts';
import { partialName, publishImage } from '../shared/imageFiles.ts';

/** A sink that gives its output a name, or takes it back. */
export interface StreamSink extends BlockSink {
  /** Called after the last record. @param checkpointId - base of the next stream; may be empty */
  finish(checkpointId: string): Promise<void>;
  /** Removes what was written to files. Never throws. */
  abandon(): Promise<void>;
}

/** What an NDJSON stream says about its disk in its first line. */
export interface StreamHead {
  readonly diskId: string;
  readonly alias: string;
  readonly virtualSizeBytes: number;
  readonly mode: string;
  readonly reason: string;
}

/** A Writable of bytes that is waited for, such as stdout. */
class ByteOutput {
  readonly #output: Writable;
  /** Takes the listeners off again. */
  readonly #over = new AbortController();
  #failure: Error | undefined;
  /** Rejects the write under way. An output that was closed need not call back. */
  #reject: ((error: Error) => void) | undefined;

  constructor(output: Writable, signal: AbortSignal) {
    this.#output = output;
    const fail = (error: Error): void => {
      this.#failure ??= error;
      this.#reject?.(this.#failure);
    };
    const onError = (error: Error): void => fail(this.#error(error));
    const onClose = (): void => fail(this.#error(output.errored ?? new Error('it was closed')));
    output.on('error', onError).once('close', onClose);
    const { signal: over } = this.#over;
    const onAbort = (): void => fail(toFailure(signal.reason, signal));
    signal.addEventListener('abort', onAbort, { signal: over });
    over.addEventListener('abort', () => {
      // The error of a failed write comes as an event, too, and may come later.
      if (!this.#failure) output.off('error', onError);
      output.off('close', onClose);
    });
  }

  /** Resolves when the bytes were taken. They may be changed afterwards. */
  async write(bytes: Uint8Array | string): Promise<void> {
    if (this.#failure) throw this.#failure;
    await new Promise<void>((resolve, reject) => {
      this.#reject = reject;
      this.#output.write(bytes, (error) => (error ? reject(this.#error(error)) : resolve()));
    });
  }

  /** Stops listening. The output stays open. */
  readonly release = async (): Promise<void> => {
    this.#over.abort();
  };

  #error(error: Error): OutputError {
    const closed = Reflect.get(error, 'code') === 'EPIPE';
    return new OutputError('OUTPUT_IO', `write the stream: ${error.message}`, {
      cause: error,
      hint: closed ? 'the program that reads the stream has ended' : 'check where the stream goes',
    });
  }
}

/** The whole disk, zeros as zeros. */
export function rawPipeSink(output: Writable, signal: AbortSignal): StreamSink {
  const bytesOut = new ByteOutput(output, signal);
  const zeros = Buffer.alloc(MIB);
  return {
    block: async ({ bytes }) => await bytesOut.write(bytes),
    async zero({ lengthBytes }) {
      for (let left = lengthBytes; left > 0; left -= zeros.length) {
        await bytesOut.write(zeros.subarray(0, Math.min(left, zeros.length)));
      }
    },
    finish: bytesOut.release,
    abandon: bytesOut.release,
  };
}

/** A file that gets its name when it is complete. */
class NewFile {
  readonly target: string;
  /** Where the bytes are now: the partial file, and the target once that is complete. */
  #path: string;
  readonly #file: FileHandle;
  readonly #syncs: SyncAhead;

  private constructor(target: string, partial: string, file: FileHandle) {
    this.target = target;
    this.#path = partial;
    this.#file = file;
    this.#syncs = new SyncAhead(() => file.datasync());
  }

  /** @param sizeBytes - size of a sparse file; 0 for one that grows. */
  static async create(target: string, sizeBytes = 0): Promise<NewFile> {
    const partial = partialName(target);
    try {
      const created = new NewFile(target, partial, await open(partial, 'wx', 0o600));
      await created.#extend(sizeBytes);
      return created;
    } catch (error) {
      throw toOutputError(target, error);
    }
  }

  async #extend(sizeBytes: number): Promise<void> {
    try {
      if (sizeBytes > 0) await this.#file.truncate(sizeBytes);
    } catch (error) {
      await this.abandon();
      throw error;
    }
  }

  async write(bytes: Uint8Array, offsetBytes: number): Promise<void> {
    try {
      await writeAll(this.#file, [bytes], offsetBytes);
      this.#syncs.add(bytes.length);
    } catch (error) {
      throw toOutputError(this.target, error);
    }
  }

  async publish(): Promise<void> {
    try {
      await this.#syncs.settle();
      await this.#file.sync();
      await this.#file.close();
      await publishImage(this.#path, this.target);
      this.#path = this.target;
    } catch (error) {
      throw toOutputError(this.target, error);
    }
  }

  async abandon(): Promise<void> {
    await this.#file.close().catch(() => {});
    await removeQuietly(this.#path);
  }
}

/** A raw image file; zeros are holes. */
export async function rawFileStream(target: string, sizeBytes: number): Promise<StreamSink> {
  const file = await NewFile.create(target, sizeBytes);
  return {
    block: async ({ bytes, offsetBytes }) => await file.write(bytes, offsetBytes),
    zero: () => {},
    finish: async () => await file.publish(),
    abandon: async () => await file.abandon(),
  };
}

function line(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

function describeZero({ kind, offsetBytes, lengthBytes }: PipedZero): string {
  return line({ kind, offsetBytes, lengthBytes });
}

/** One JSON line per record; the bytes are in the line, as base64. */
export async function ndjsonPipeSink(
  output: Writable,
  head: StreamHead,
  signal: AbortSignal,
): Promise<StreamSink> {
  const bytesOut = new ByteOutput(output, signal);
  await bytesOut.write(line({ kind: 'disk', ...head }));
  return {
    block: async ({ kind, offsetBytes, lengthBytes, bytes }) =>
      await bytesOut.write(
        line({ kind, offsetBytes, lengthBytes, base64: bytes.toString('base64') }),
      ),
    zero: async (zero) => await bytesOut.write(describeZero(zero)),
    async finish(checkpointId) {
      await bytesOut.write(line({ kind: 'end', checkpointId }));
      await bytesOut.release();
    },
    abandon: bytesOut.release,
  };
}

/** Lines in `target`, bytes one after the other in `target.data`. */
export async function ndjsonFileStream(target: string, head: StreamHead): Promise<StreamSink> {
  const data = await NewFile.create(`${target}.data`);
  const lines = await NewFile.create(target).catch(async (error: unknown) => {
    await data.abandon();
    throw error;
  });
  let lineBytes = 0;
  let dataBytes = 0;
  const writeLine = async (text: string): Promise<void> => {
    const bytes = Buffer.from(text);
    await lines.write(bytes, lineBytes);
    lineBytes += bytes.length;
  };
  const abandon = async (): Promise<void> => {
    await data.abandon();
    await lines.abandon();
  };
  try {
    await writeLine(line({ kind: 'disk', ...head, dataFile: `${target}.data` }));
  } catch (error) {
    await abandon();
    throw error;
  }
  return {
    async block({ kind, offsetBytes, lengthBytes, bytes }: PipedBlock) {
      await data.write(bytes, dataBytes);
      await writeLine(line({ kind, offsetBytes, lengthBytes, dataOffsetBytes: dataBytes }));
      dataBytes += bytes.length;
    },
    zero: async (zero) => await writeLine(describeZero(zero)),
    async finish(checkpointId) {
      await writeLine(line({ kind: 'end', checkpointId }));
      await data.publish();
      await lines.publish();
    },
    abandon,
  };
}
