/**
 * Sinks that need no container: to a raw file, to NDJSON, to a callback, to nowhere. They are also the
 * examples for sinks of your own: an object-mode Writable that releases the slots it gets.
 */
import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import { Writable } from 'node:stream';
import { toOutputError } from '../core/errors.ts';
import type { DataBlock, HashedBlock, PipelineRecord, ZeroRun } from './blocks.ts';
import { releaseSlot } from './blocks.ts';
import type { Sink } from './stage.ts';

type Consume<In> = (record: In) => Promise<void> | void;

/** Wraps an async consumer as a Writable that releases each record's slot, also when the consumer fails. */
export function callbackSink<In extends PipelineRecord>(
  consume: Consume<In>,
  finish?: () => Promise<void> | void,
): Sink<In> {
  async function take(record: In): Promise<void> {
    try {
      await consume(record);
    } finally {
      releaseSlot(record);
    }
  }
  return new Writable({
    objectMode: true,
    highWaterMark: 1,
    write(record: In, _encoding, done) {
      take(record).then(() => done(), done);
    },
    final(done) {
      Promise.resolve(finish?.()).then(() => done(), done);
    },
  });
}

/** Releases everything. For benchmarks and dry runs. */
export function nullSink<In extends PipelineRecord>(): Sink<In> {
  return callbackSink<In>(() => {});
}

/** One JSON line per record, without the bytes; `fingerprint` and `digest` are hexadecimal. */
export function describeRecord(record: PipelineRecord): Record<string, unknown> {
  const line: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(record)) {
    if (key === 'slot') continue;
    if (typeof value === 'bigint') line[key] = value.toString(16).padStart(16, '0');
    else if (value instanceof Uint8Array) line[key] = Buffer.from(value).toString('hex');
    else line[key] = value;
  }
  return line;
}

/** Writes one line per record to `output`, honouring its back-pressure; `output` is not ended. */
export function ndjsonSink<In extends PipelineRecord>(output: Writable): Sink<In> {
  return callbackSink<In>(async (record) => {
    if (!output.write(`${JSON.stringify(describeRecord(record))}\n`)) await once(output, 'drain');
  });
}

/** Writes all of `bytes` at `offsetBytes`; a short write goes on where it stopped. */
export async function writeFully(
  file: FileHandle,
  bytes: Uint8Array,
  offsetBytes: number,
): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, offsetBytes + done);
    done += bytesWritten;
  }
}

/**
 * Writes blocks at their place in a raw file that is new and has its full size already, so that zero runs
 * stay holes. The file stays the caller's; it is not synced or closed here. Errors of the stream:
 * `OUTPUT_FULL`, `OUTPUT_IO`.
 *
 * @param name - the file's name for messages.
 */
export function rawFileSink(
  file: FileHandle,
  name: string,
): Sink<DataBlock | HashedBlock | ZeroRun> {
  return callbackSink<DataBlock | HashedBlock | ZeroRun>(async (record) => {
    if (record.kind === 'zero') return;
    const bytes = record.slot.bytes.subarray(0, record.lengthBytes);
    await writeFully(file, bytes, record.offsetBytes).catch((error: unknown) => {
      throw toOutputError(name, error);
    });
  });
}
