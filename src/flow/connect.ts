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
export interface Source<Out> extends Readable {
  readonly [OUT]?: Out | undefined;
}
/** An object-mode Duplex from `In` to `Out`. */
export interface Stage<In, Out> extends Duplex {
  readonly [IN]?: ((record: In) => void) | undefined;
  readonly [OUT]?: Out | undefined;
}
/**
 * An object-mode Writable of `In`. A Writable of your own fits too; it has to release the slots it
 * gets.
 */
export interface Sink<In> extends Writable {
  readonly [IN]?: ((record: In) => void) | undefined;
}

/**
 * A stage without resources; stream-chain fuses neighbours into one stream. Returns the next
 * record, `undefined` to drop the record, or a generator for several records.
 */
export type StageFunction<In, Out> = (block: In) => Out | undefined | Generator<Out>;
export type StageLike<In, Out> = Stage<In, Out> | StageFunction<In, Out>;

export interface ConnectOptions {
  /** Ends the chain early. */
  readonly signal?: AbortSignal | undefined;
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

/** Fits every stage, both as what it takes and as what it is given. No other type does both. */
// oxlint-disable-next-line typescript/no-explicit-any
type Unchecked = any;

/** A stage of unknown records, until it is {@link Checked} in its place. */
export type AnyStage = StageLike<Unchecked, unknown>;

/** Records that a stage takes. */
type InputOf<Part> =
  Part extends Stage<infer In, infer _Out>
    ? In
    : Part extends (record: infer In) => unknown
      ? In
      : unknown;

/** Records that a function emits: those of its generator, or what it returns. */
type Emitted<Result> = Result extends Generator<infer Out> ? Out : Exclude<Result, undefined>;

/** Records that a source or a stage gives. {@link Unchecked} when they are not known. */
type OutputOf<Part> = Part extends (record: never) => infer Result
  ? Emitted<Result>
  : Part extends Source<infer Out>
    ? unknown extends Out
      ? Unchecked
      : Out
    : never;

/** Stands in the message of the compiler where a stage does not fit. No stage has this type. */
export interface WrongStage<Places> {
  readonly 'this stage does not take what it is given': Places;
}

/** One check for each stage: {@link WrongStage} for the first one that does not fit. */
export type Checked<Given, Stages extends readonly unknown[]> = Stages extends readonly [
  infer First,
  ...infer Rest,
]
  ? [Given] extends [InputOf<First>]
    ? readonly [unknown, ...Checked<OutputOf<First>, Rest>]
    : readonly [WrongStage<{ takes: InputOf<First>; given: Given }>, ...unknown[]]
  : readonly unknown[];

/**
 * Records that leave the last stage, or the source when there is no stage. {@link Unchecked} for an
 * array whose length is not known.
 */
export type LastOf<From, Stages extends readonly unknown[]> = Stages extends readonly []
  ? OutputOf<From>
  : Stages extends readonly [...infer _First, infer Last]
    ? OutputOf<Last>
    : Unchecked;

/**
 * Runs a chain to its end.
 *
 * A wrong order of stages does not compile. The error is at the first stage that does not fit. A
 * `Readable` without the type {@link Source} is not checked. Write the type of the parameter of a
 * function between stages; the records after a function without it are not checked.
 *
 * The call settles after every stream of the chain is closed. Nothing uses the slots, files and
 * workers of the chain any more then. It rejects with the first error. After an abort of `signal`
 * that is the error given as reason, or one with the code `CANCELLED`.
 *
 * @throws an error of the {@link BackupError} family
 */
export async function connect<From extends Readable, const Stages extends readonly AnyStage[]>(
  source: From,
  stages: readonly [...Stages] & Checked<OutputOf<From>, Stages>,
  sink: Sink<LastOf<From, Stages>>,
  options: ConnectOptions = {},
): Promise<void> {
  await runChain(source, stages, sink, options);
}

/** As {@link connect}, for callers whose records are known only to their own callers. */
export async function runChain(
  source: Readable,
  stages: readonly unknown[],
  sink: Writable,
  options: ConnectOptions,
): Promise<void> {
  const { signal = new AbortController().signal } = options;
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
