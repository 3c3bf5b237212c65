/**
 * Repeats work on a repository in S3. Each time another request fails. Then the points are checked,
 * and the next session has to work.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupError } from '../../../src/core/errors.ts';
import { keysOf } from './client.ts';
import type { S3Fault } from './faultProxy.ts';
import type { ImageChain } from './imageChain.ts';
import type { S3Bench } from './useS3.ts';

export interface RequestScenario {
  readonly title: string;
  /** Fills the repository once. Each try works on a copy. */
  readonly build: (chain: ImageChain) => Promise<void>;
  readonly run: (chain: ImageChain) => Promise<unknown>;
  /** Checks the points after the work, without faults. Throws when something is lost. */
  readonly check: (chain: ImageChain, failure: Error | undefined) => Promise<void>;
}

/** A fault of one request, or of all from there on. */
export interface RequestFault {
  readonly fault: S3Fault;
  readonly isLasting: boolean;
}

/** What passes by itself: a request of the kind succeeds when it is made again. */
const PASSING: readonly RequestFault[] = (
  ['slowDown', 'cutBefore', 'cutAfter', 'duplicate'] as const
).map((fault) => ({ fault, isLasting: false }));
/** Work that meets it ends at once, as if it had been killed between two requests. */
const REFUSED: RequestFault = { fault: 'expiredToken', isLasting: true };

export const REQUEST_FAULTS: readonly RequestFault[] = [...PASSING, REFUSED];

export interface RequestFigures {
  /** Requests of the work without a fault. */
  readonly requests: number;
  readonly kinds: Readonly<Record<string, number>>;
  tries: number;
  /** Works that failed although the fault passed. */
  failedAtPassing: string[];
  failedAtLasting: number;
  problems: string[];
}

async function failureOf(work: Promise<unknown>): Promise<Error | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function checkType(failure: Error | undefined): void {
  if (failure === undefined) return;
  if (!(failure instanceof BackupError)) throw failure;
  if (failure.code.startsWith('INTERNAL'))
    throw new Error('an error without a type', { cause: failure });
}

export class RequestSweep {
  readonly #s3: S3Bench;
  readonly #base: ImageChain;
  readonly #scenario: RequestScenario;
  #copies = 0;

  constructor(s3: S3Bench, base: ImageChain, scenario: RequestScenario) {
    this.#s3 = s3;
    this.#base = base;
    this.#scenario = scenario;
  }

  /** @param faultsAt - faults that are tried at a request, from 1. */
  async run(faultsAt: (nth: number) => readonly RequestFault[]): Promise<RequestFigures> {
    await this.#scenario.build(this.#base);
    const kinds = await this.#count();
    const requests = Object.values(kinds).reduce((sum, count) => sum + count, 0);
    const figures: RequestFigures = {
      requests,
      kinds,
      tries: 0,
      failedAtPassing: [],
      failedAtLasting: 0,
      problems: [],
    };
    for (let nth = 1; nth <= requests; nth++) {
      for (const fault of faultsAt(nth)) await this.#try(nth, fault, figures);
    }
    return figures;
  }

  async #count(): Promise<Record<string, number>> {
    const { proxy } = this.#s3;
    const chain = await this.#copy();
    proxy.arm();
    await this.#scenario.run(chain);
    const counts = proxy.counts();
    await this.#scenario.check(chain, undefined);
    return counts;
  }

  async #try(
    nth: number,
    { fault, isLasting }: RequestFault,
    figures: RequestFigures,
  ): Promise<void> {
    const { proxy } = this.#s3;
    const chain = await this.#copy();
    proxy.arm((request) =>
      request.nth === nth || (isLasting && request.nth > nth) ? fault : undefined,
    );
    const failure = await failureOf(this.#scenario.run(chain));
    const struck = proxy.requests.find((request) => request.fault !== undefined);
    // What the work left behind, such as the release of its lock, may still be on its way.
    await sleep(0);
    proxy.arm();
    if (!struck) return;
    figures.tries++;
    const where = `${fault} at ${nth}, ${struck.kind} ${struck.key}`;
    if (failure && isLasting) figures.failedAtLasting++;
    else if (failure) figures.failedAtPassing.push(`${where}: ${String(failure)}`);
    try {
      checkType(failure);
      await this.#scenario.check(chain, failure);
    } catch (error) {
      const text = error instanceof Error ? error.stack : String(error);
      figures.problems.push(`${where}, ended with ${String(failure)}: ${text}`);
    }
  }

  /** The repository as {@link RequestScenario.build} left it, under a new prefix. */
  async #copy(): Promise<ImageChain> {
    const { server, bucket } = this.#s3;
    const prefix = `try-${this.#copies++}`;
    const from = this.#base.place.repository.slice(`s3://${bucket}/`.length);
    for (const key of await keysOf(server.client, bucket, `${from}/`)) {
      await server.client.copyObject({
        Bucket: bucket,
        CopySource: encodeURI(`${bucket}/${key}`),
        Key: `${prefix}${key.slice(from.length)}`,
      });
    }
    return this.#base.at({ ...this.#base.place, repository: this.#s3.repositoryAt(prefix) });
  }
}
