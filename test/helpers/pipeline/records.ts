/** Records of the pipeline: made as the input of one stage, and collected as its output. */
import { Readable, type Writable } from 'node:stream';
import type { DataBlock, HashedBlock, PipelineRecord, ZeroRun } from '../../../src/flow/records.ts';
import type { SlabLease } from '../../../src/flow/slab.ts';
import { loadLz4 } from '../../../src/compute/lz4Binding.ts';
import { callbackSink } from '../../../src/flow/sinks/plainSinks.ts';
import { connect, type Sink, type StageLike } from '../../../src/flow/connect.ts';
import { LZ4_HEADER_BYTES } from '../../../src/compute/storedForm.ts';
import { blockContent, letterOf, PICTURE_BLOCK_BYTES } from './diskPicture.ts';

/** A record and a copy of its whole slot; no bytes for records without a slot. */
export interface Collected<In extends PipelineRecord> {
  readonly record: In;
  readonly bytes: Buffer;
}

const lz4 = loadLz4();

/** Plain bytes of a collected data, hashed or packed record. */
export function plainBytesOf({ record, bytes }: Collected<PipelineRecord>): Buffer {
  if (record.kind !== 'packed' || record.codec === 'plain') {
    return bytes.subarray(0, record.lengthBytes);
  }
  const plain = Buffer.alloc(record.lengthBytes);
  lz4.decode(bytes.subarray(LZ4_HEADER_BYTES, record.storedBytes), plain);
  return plain;
}

function lettersOf(item: Collected<PipelineRecord>): string {
  const { record } = item;
  const count = 'blockCount' in record ? record.blockCount : 1;
  if (record.kind === 'zero') return '0'.repeat(count);
  if (record.kind === 'unchanged') return '='.repeat(count);
  if ('slot' in record) return letterOf(plainBytesOf(item));
  if (record.kind === 'planned') return (record.zero ? '0' : 'x').repeat(count);
  return 'x';
}

export class Collector<In extends PipelineRecord> {
  readonly items: Collected<In>[] = [];
  readonly sink: Sink<In> = callbackSink<In>((record) => {
    const bytes = 'slot' in record ? Buffer.from(record.slot.bytes) : Buffer.alloc(0);
    this.items.push({ record, bytes });
  });

  get records(): In[] {
    return this.items.map((item) => item.record);
  }

  /**
   * The records in order of arrival: letters for content, `0` zero, `=` unchanged, `x` no bytes
   * yet.
   */
  get picture(): string {
    return this.items.map(lettersOf).join('');
  }
}

/** An object-mode source of these records. */
export function sourceOf<In>(records: Iterable<In> | AsyncIterable<In>): Readable {
  return Readable.from(records, { objectMode: true, highWaterMark: 1 });
}

/** Sends `input` through one stage and collects what comes out. */
export async function runStage<In, Out extends PipelineRecord>(
  stage: StageLike<In, Out>,
  input: Iterable<In> | AsyncIterable<In>,
  signal: AbortSignal = new AbortController().signal,
): Promise<Collector<Out>> {
  const collector = new Collector<Out>();
  await connect(sourceOf(input), [stage], collector.sink as Writable, { signal });
  return collector;
}

export function zeroRun(index: number, blockCount: number, lengthBytes?: number): ZeroRun {
  return {
    kind: 'zero',
    diskId: 'disk-1',
    index,
    blockCount,
    offsetBytes: index * PICTURE_BLOCK_BYTES,
    lengthBytes: lengthBytes ?? blockCount * PICTURE_BLOCK_BYTES,
  };
}

/** A data block in a raw slot. The rest of the slot is 0xff, as an earlier block may leave it. */
export async function dataBlock(
  lease: SlabLease,
  index: number,
  content: Uint8Array,
): Promise<DataBlock> {
  const slot = await lease.acquireRaw();
  slot.bytes.fill(0xff);
  slot.bytes.set(content);
  const offsetBytes = index * PICTURE_BLOCK_BYTES;
  return { kind: 'data', diskId: 'disk-1', index, offsetBytes, lengthBytes: content.length, slot };
}

export async function hashedBlock(
  lease: SlabLease,
  index: number,
  content: Uint8Array,
  fingerprint = 1n,
): Promise<HashedBlock> {
  const { diskId, offsetBytes, lengthBytes, slot } = await dataBlock(lease, index, content);
  return { kind: 'hashed', diskId, index, offsetBytes, lengthBytes, slot, fingerprint };
}

/** Records of a reader for a picture: data blocks, and zero runs of one block. */
export async function* readerRecords(
  lease: SlabLease,
  picture: string,
): AsyncGenerator<DataBlock | ZeroRun> {
  for (const [index, letter] of Array.from(picture).entries()) {
    if (letter === '0' || letter === '-') yield zeroRun(index, 1);
    else yield await dataBlock(lease, index, blockContent(letter));
  }
}
