/**
 * Compiled, never run: the right chain has to compile, a wrong order must not. A line that is
 * marked as an error and compiles is an error of the type check.
 */
import { type Readable, Writable } from 'node:stream';
import type { ContainerSink } from '../../src/container/write/containerSink.ts';
import type {
  DataBlock,
  HashedBlock,
  PackedBlock,
  PlannedRun,
  SinkBlock,
  UnchangedRun,
  WantedBlock,
  ZeroRun,
} from '../../src/flow/records.ts';
import type { createBlockReader } from '../../src/flow/stages/blockReader.ts';
import type { createCompressor } from '../../src/flow/stages/compressor.ts';
import type { createDirtyZeroFilter } from '../../src/flow/stages/dirtyZeroFilter.ts';
import type { createExtentSource } from '../../src/flow/stages/extentSource.ts';
import type { createFileReader } from '../../src/flow/stages/fileReader.ts';
import type { createChangeFinder } from '../../src/flow/stages/changeFinder.ts';
import type { createHashComparer } from '../../src/flow/stages/hashComparer.ts';
import {
  callbackSink,
  ndjsonSink,
  nullSink,
  rawFileSink,
} from '../../src/flow/sinks/plainSinks.ts';
import type {
  createBlockFetcher,
  createBlockUnpacker,
} from '../../src/container/read/restoreStages.ts';
import type { createBlockCopier } from '../../src/container/write/blockCopier.ts';
import type { Slab, SlabDirection, SlabLease } from '../../src/flow/slab.ts';
import type { PipelineResources } from '../../src/sessions/shared/pipelineResources.ts';
import {
  connect,
  type Sink,
  type Source,
  type StageFunction,
  type StageLike,
} from '../../src/flow/connect.ts';

declare const source: ReturnType<typeof createExtentSource>;
declare const filter: ReturnType<typeof createDirtyZeroFilter>;
declare const reader: ReturnType<typeof createBlockReader>;
declare const comparer: ReturnType<typeof createHashComparer>;
declare const compressor: ReturnType<typeof createCompressor>;
declare const containerSink: ContainerSink & Sink<SinkBlock>;
declare const file: Parameters<typeof rawFileSink>[0];

/**
 * Functions of users as stages: one that drops, one that emits several, two that take something
 * else.
 */
const dropZeros: StageFunction<DataBlock | ZeroRun, DataBlock> = (record) =>
  record.kind === 'data' ? record : undefined;

function* twice(record: SinkBlock): Generator<SinkBlock> {
  yield record;
  yield record;
}

const afterReader: StageFunction<DataBlock, DataBlock> = (record) => record;

const forgetsBytes = (record: DataBlock | ZeroRun): ZeroRun => record as ZeroRun;

const options = { signal: new AbortController().signal };

/** Every chain that the product and its users build. */
export async function rightChains(): Promise<void> {
  await connect(source, [filter, reader, comparer, compressor], containerSink, options);
  await connect(source, [filter, reader, comparer, compressor], nullSink<SinkBlock>(), options);
  await connect(source, [filter, reader], rawFileSink(file, 'disk.raw'), options);
  await connect(source, [], nullSink<PlannedRun>(), options);
  await connect(source, [filter], ndjsonSink<WantedBlock | ZeroRun>(process.stdout), options);
}

/** Parts that users write themselves. */
export async function ownParts(): Promise<void> {
  const ownWritable = new Writable({
    objectMode: true,
    write: (_record, _encoding, done) => done(),
  });
  await connect(source, [filter, reader, comparer, compressor], ownWritable, options);

  await connect(source, [filter, reader, dropZeros, comparer, compressor], containerSink, options);

  await connect(source, [filter, reader, comparer, compressor, twice], containerSink, options);

  const count = callbackSink<PackedBlock | ZeroRun | UnchangedRun>(() => {});
  await connect(source, [filter, reader, comparer, compressor], count, options);

  const wider: Sink<SinkBlock | DataBlock> = nullSink();
  await connect(source, [filter, reader, comparer, compressor], wider, options);
}

/** Functions whose parameter has no type, and sources of unknown records, are not checked. */
export async function uncheckedParts(own: Readable, stages: StageLike<PlannedRun, SinkBlock>[]) {
  await connect(source, [filter, reader, (record) => record, comparer], nullSink(), options);
  await connect(own, [comparer, compressor], containerSink, options);
  await connect(source, stages, containerSink, options);
}

/** A sink made in its place gets the type of its records from the stages. */
export async function sinkOfCallback(): Promise<void> {
  await connect(
    source,
    [filter, reader],
    callbackSink((record) => {
      const known: DataBlock | ZeroRun = record;
      return void known;
    }),
  );
}

export async function wrongOrders(): Promise<void> {
  // @ts-expect-error the comparer takes blocks that were read
  await connect(source, [filter, comparer, reader, compressor], containerSink, options);
  // @ts-expect-error the compressor takes blocks with a fingerprint
  await connect(source, [filter, reader, compressor, comparer], containerSink, options);
  // @ts-expect-error the reader takes what the filter passes
  await connect(source, [reader, filter, comparer, compressor], containerSink, options);
  // @ts-expect-error the filter takes the plan
  await connect(source, [filter, filter, reader, comparer], containerSink, options);
  // @ts-expect-error the source emits the plan, not blocks to read
  await connect(source, [reader, comparer, compressor], containerSink, options);
}

export async function missingStages(): Promise<void> {
  // @ts-expect-error the comparer is missing
  await connect(source, [filter, reader, compressor], containerSink, options);
  // @ts-expect-error the reader is missing
  await connect(source, [filter, comparer, compressor], containerSink, options);
  // @ts-expect-error the container takes packed blocks
  await connect(source, [filter, reader, comparer], containerSink, options);
  const fileSink = rawFileSink(file, 'disk.raw');
  // @ts-expect-error the raw file takes plain blocks
  await connect(source, [filter, reader, comparer, compressor], fileSink, options);
  // @ts-expect-error unchanged runs have no bytes for the raw file
  await connect(source, [filter, reader, comparer], fileSink, options);
  // @ts-expect-error the sink knows no zero runs
  await connect(source, [filter, reader], nullSink<DataBlock>(), options);
  // @ts-expect-error the sink takes records of another stage
  await connect(source, [], nullSink<HashedBlock>(), options);
}

export async function wrongFunctions(): Promise<void> {
  // @ts-expect-error the function knows no zero runs
  await connect(source, [filter, reader, afterReader, comparer], nullSink(), options);

  // @ts-expect-error the raw source is not what the function takes
  await connect(source, [forgetsBytes], nullSink<ZeroRun>(), options);
}

/** A source of the user's own is typed by what it emits. */
export async function ownSource(own: Source<DataBlock | ZeroRun>): Promise<void> {
  await connect(own, [comparer, compressor], containerSink, options);
  // @ts-expect-error the source emits data blocks
  await connect(own, [filter, reader, comparer, compressor], containerSink, options);
}

type LeaseOf<Make extends (options: never) => unknown> = Parameters<Make>[0] extends {
  readonly lease: infer Lease;
}
  ? Lease
  : never;

declare const slab: Slab;
declare function readFrom(lease: LeaseOf<typeof createBlockReader>): void;
declare function readFileFrom(lease: LeaseOf<typeof createFileReader>): void;
declare function findFrom(lease: LeaseOf<typeof createChangeFinder>): void;
declare function compressOn(lease: LeaseOf<typeof createCompressor>): void;
declare function fetchOn(lease: LeaseOf<typeof createBlockFetcher>): void;
declare function unpackOn(lease: LeaseOf<typeof createBlockUnpacker>): void;
declare function copyOn(lease: LeaseOf<typeof createBlockCopier>): void;

/** A backup takes raw slots first. */
export function packLeases(pack: SlabLease<'pack'>): void {
  readFrom(pack);
  readFileFrom(pack);
  findFrom(pack);
  compressOn(pack);
  // @ts-expect-error the stage takes packed slots first
  fetchOn(pack);
  // @ts-expect-error the stage takes packed slots first
  unpackOn(pack);
  // @ts-expect-error the stage takes packed slots first
  copyOn(pack);
}

/** A restore takes packed slots first. */
export function unpackLeases(unpack: SlabLease<'unpack'>): void {
  fetchOn(unpack);
  unpackOn(unpack);
  copyOn(unpack);
  // @ts-expect-error the stage takes raw slots first
  readFrom(unpack);
  // @ts-expect-error the stage takes raw slots first
  readFileFrom(unpack);
  // @ts-expect-error the stage takes raw slots first
  findFrom(unpack);
  // @ts-expect-error the stage takes raw slots first
  compressOn(unpack);
}

export function leasesOfUnknownDirection(lease: SlabLease, direction: SlabDirection): void {
  // @ts-expect-error the lease may be one to unpack
  compressOn(lease);
  // @ts-expect-error the direction is known only when the program runs
  unpackOn(slab.lease(direction));
  // @ts-expect-error a lease has a direction
  slab.lease();
}

export async function leasesOfSessions(resources: PipelineResources): Promise<void> {
  await resources.withLease('pack', async (lease) => compressOn(lease));
  // @ts-expect-error the chain unpacks
  await resources.withLease('unpack', async (lease) => compressOn(lease));
}
