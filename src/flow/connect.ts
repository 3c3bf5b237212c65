/**
 * Typed wiring. Sources, stages and sinks are Node streams; types alone say which records they take
 * and give. `connect` is the one place that composes them (stream-chain) and runs them
 * (`pipeline`).
 */
import { setMaxListeners } from 'node:events';
import type { Duplex, Readable, Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { chainUnchecked } from 'stream-chain';
import { toFailure } from '../core/errors.ts';

declare const IN: unique symbol;
declare const OUT: unique symbol;

/** An object-mode Readable of `Out`. */
export type Source<Out> = Readable & { readonly [OUT]?: Out };
/** An object-mode Duplex from `In` to `Out`. */
export type Stage<In, Out> = Duplex & {
  readonly [IN]?: (block: In) => void;
  readonly [OUT]?: Out;
};
/**
 * An object-mode Writable of `In`. A Writable of your own fits too; it has to release the slots it
 * gets.
 */
export type Sink<In> = Writable & { readonly [IN]?: (block: In) => void };

/**
 * A stage without resources; stream-chain fuses neighbours into one stream. Returns the next
 * record, `undefined` to drop the record, or a generator for several records.
 */
export type StageFunction<In, Out> = (block: In) => Out | undefined | Generator<Out>;
export type StageLike<In, Out> = Stage<In, Out> | StageFunction<In, Out>;

export interface ConnectOptions {
  readonly signal: AbortSignal;
}

const STREAM_OPTIONS = {
  readableObjectMode: true,
  writableObjectMode: true,
  readableHighWaterMark: 1,
  writableHighWaterMark: 1,
} as const;

function isStream(part: unknown): part is Duplex {
  return typeof part === 'object';
}

/** These stay open: they belong to the process, and `pipeline` does not end them either. */
const STANDARD_STREAMS: readonly unknown[] = [process.stdout, process.stderr];

/** Waits until a stream is closed. With `error`, a stream that is still open is destroyed first. */
async function closeStream(
  stream: Readable | Writable,
  isSink: boolean,
  error: Error | undefined,
): Promise<void> {
  if (STANDARD_STREAMS.includes(stream)) return;
  stream.on('error', () => {});
  if (!stream.destroyed && error) stream.destroy(error);
  await finished(stream, { readable: !isSink }).catch(() => {});
}

/** Codes of errors that streams report because a neighbour of theirs has failed. */
const CONSEQUENCES: readonly unknown[] = ['ERR_STREAM_DESTROYED', 'ERR_STREAM_PREMATURE_CLOSE'];

function isConsequence(error: unknown): boolean {
  return error instanceof Error && CONSEQUENCES.includes(Reflect.get(error, 'code'));
}

/**
 * Runs a chain to its end.
 *
 * A wrong order of stages does not compile. The call settles after every stream of the chain is
 * closed. Nothing uses the slots, files and workers of the chain any more then. It rejects with the
 * first error. After an abort of `signal` that is the error given as reason, or one with the code
 * `CANCELLED`.
 *
 * @throws an error of the {@link BackupError} family
 */
export function connect<A>(
  source: Source<A>,
  stages: readonly [],
  sink: Sink<A>,
  options: ConnectOptions,
): Promise<void>;
export function connect<A, B>(
  source: Source<A>,
  stages: readonly [StageLike<A, B>],
  sink: Sink<B>,
  options: ConnectOptions,
): Promise<void>;
export function connect<A, B, C>(
  source: Source<A>,
  stages: readonly [StageLike<A, B>, StageLike<B, C>],
  sink: Sink<C>,
  options: ConnectOptions,
): Promise<void>;
export function connect<A, B, C, D>(
  source: Source<A>,
  stages: readonly [StageLike<A, B>, StageLike<B, C>, StageLike<C, D>],
  sink: Sink<D>,
  options: ConnectOptions,
): Promise<void>;
export function connect<A, B, C, D, E>(
  source: Source<A>,
  stages: readonly [StageLike<A, B>, StageLike<B, C>, StageLike<C, D>, StageLike<D, E>],
  sink: Sink<E>,
  options: ConnectOptions,
): Promise<void>;
export function connect<A, B, C, D, E, F>(
  source: Source<A>,
  stages: readonly [
    StageLike<A, B>,
    StageLike<B, C>,
    StageLike<C, D>,
    StageLike<D, E>,
    StageLike<E, F>,
  ],
  sink: Sink<F>,
  options: ConnectOptions,
): Promise<void>;
export async function connect(
  source: Readable,
  stages: readonly unknown[],
  sink: Writable,
  options: ConnectOptions,
): Promise<void> {
  const { signal } = options;
  setMaxListeners(0, signal);
  const inner = stages.filter(isStream);
  // When a source ends just as a stage fails, `pipeline` rejects with the consequence. The cause
  // comes later.
  const causes: unknown[] = [];
  for (const part of [source, ...inner, sink]) part.once('error', (error) => causes.push(error));
  const closeAll = async (error: Error | undefined): Promise<void> => {
    const parts = [source, ...inner, sink];
    await Promise.all(parts.map((part) => closeStream(part, part === sink, error)));
  };
  try {
    if (stages.length === 0) await pipeline(source, sink, { signal });
    else await pipeline(source, chainUnchecked([...stages], STREAM_OPTIONS), sink, { signal });
    await closeAll(undefined);
  } catch (error) {
    const failure = toFailure(error, signal);
    await closeAll(failure);
    const cause = causes.find((other) => other !== failure && !isConsequence(other));
    throw isConsequence(error) && cause !== undefined ? toFailure(cause, signal) : failure;
  }
}
