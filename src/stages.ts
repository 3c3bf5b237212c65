/**
 * Stages, for a chain of one's own: `ovirt-cbt/stages`. The main entry has the sessions and the
 * ready-made pipes.
 */

export {
  createPipeline,
  type Pipeline,
  type PipelineDiskOptions,
  type PipelineOptions,
} from './sessions/pipe/pipeline.ts';
export type {
  PipelineDisk,
  PipelineStats,
  ReaderOptions,
  RetryOptions,
} from './sessions/pipe/pipelineDisk.ts';
export {
  connect,
  type ConnectOptions,
  type Sink,
  type Source,
  type Stage,
  type StageFunction,
  type StageLike,
  type WrongStage,
} from './flow/connect.ts';
export { callbackStage } from './flow/stages/callbackStage.ts';
export { bytesOf } from './flow/sinks/blockSink.ts';
export { callbackSink, ndjsonSink, nullSink, rawFileSink } from './flow/sinks/plainSinks.ts';

export {
  type BlockDevice,
  type CandidateRun,
  type DataBlock,
  type DiskMode,
  type DiskTask,
  type Extent,
  type HashedBlock,
  type PackedBlock,
  type PipelineRecord,
  type PlannedRun,
  releaseSlot,
  type SinkBlock,
  type UnchangedRun,
  type WantedBlock,
  type ZeroRun,
} from './flow/records.ts';
export type { ComparedRecord } from './sessions/shared/diskChain.ts';
export type { FileRecord } from './flow/stages/fileReader.ts';
export type { FilterCounts } from './flow/stages/dirtyZeroFilter.ts';
export type { StoredCodec } from './compute/storedForm.ts';
export type { StageStats } from './core/stats.ts';
export { FingerprintMap, type ParentDisk } from './flow/fingerprintMap.ts';

export { createMemoryDevice, type MemoryDeviceOptions } from './devices/memoryDevice.ts';
export { openRawImage, type RawImage, type SourceFormat } from './devices/rawImageDevice.ts';
