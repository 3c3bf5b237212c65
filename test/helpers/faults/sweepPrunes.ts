/** Scenarios of the fault sweep over chains: prunes that merge or delete, and a synthetic full. */
import { deepStrictEqual, ok } from 'node:assert';
import path from 'node:path';
import { type ErrorCode, RepositoryError } from '../../../src/core/errors.ts';
import type { RetentionPolicy } from '../../../src/repository/retention/retention.ts';
import type { SessionMode } from '../../../src/sessions/backup/parent/parentChoice.ts';
import { pruneRepository } from '../../../src/sessions/retention/pruneRepository.ts';
import { synthesizeFull } from '../../../src/sessions/retention/synthesizeFull.ts';
import { FILE_FAULTS } from './faultyFiles.ts';
import { BLOCK_BYTES, blocks, sha256, writeImage } from '../bytes/images.ts';
import {
  backup,
  checkContainersListed,
  checkNoStrays,
  checkPoints,
  expectClean,
  type PointContent,
  VM,
} from '../repository/imageSessions.ts';
import { pointIdsOf } from '../repository/repositoryFiles.ts';
import type { SweepScenario, SweepWork } from './sweep.ts';

/** Content for the session after the work. */
const NEXT = blocks('0Dx');

/** A chain, the work on it, and the points that have to stay. */
interface ChainCase {
  readonly title: string;
  /** Sessions that build it: blocks as letters, and the mode. */
  readonly sessions: readonly (readonly [letters: string, mode: SessionMode])[];
  /** Policy of the prune; undefined for a synthetic full. */
  readonly keep: RetentionPolicy | undefined;
  /** Positions of the points that stay. */
  readonly kept: readonly number[];
}

const CASES: readonly ChainCase[] = [
  {
    title: 'prune, merge into the full',
    sessions: [
      ['Aa0', 'full'],
      ['Ba0', 'auto'],
      ['BCx', 'auto'],
    ],
    keep: { last: 2 },
    kept: [1, 2],
  },
  {
    title: 'prune, merge of increments',
    sessions: [
      ['Aa0', 'full'],
      ['Ba0', 'auto'],
      ['BCx', 'auto'],
      ['BC0', 'auto'],
    ],
    // The oldest point stays as well, since there is no second year.
    keep: { last: 2, yearly: 2 },
    kept: [0, 2, 3],
  },
  {
    title: 'prune, a whole chain goes',
    sessions: [
      ['Aa0', 'full'],
      ['Ba0', 'auto'],
      ['BCx', 'full'],
    ],
    keep: { last: 1 },
    kept: [2],
  },
  {
    title: 'synthetic full',
    sessions: [
      ['Aa0', 'full'],
      ['Ba0', 'auto'],
      ['BCx', 'auto'],
    ],
    keep: undefined,
    kept: [0, 1, 2],
  },
];

/** Prunes the only VM. Throws its failure. */
async function prune(repository: string, keep: RetentionPolicy): Promise<void> {
  const { vms } = await pruneRepository({ repository, keep, workers: 0 });
  const failure = vms[0]?.failure;
  if (!failure) return;
  const { code, message, hint } = failure;
  throw new RepositoryError(code as ErrorCode, message, { hint });
}

class ChainWork implements SweepWork {
  readonly #case: ChainCase;
  readonly #root: string;
  readonly #isPruneNext: boolean;
  /** Contents by point id, in the order of the sessions. */
  readonly #known = new Map<string, PointContent>();
  #kept: readonly string[] = [];

  /**
   * @param isPruneNext - true to repeat the work before the next session too, not only after it.
   */
  constructor(chainCase: ChainCase, root: string, isPruneNext: boolean) {
    this.#case = chainCase;
    this.#root = root;
    this.#isPruneNext = isPruneNext;
  }

  get #repository(): string {
    return path.join(this.#root, 'repository');
  }

  async prepare(): Promise<void> {
    const ids = await pointIdsOf(this.#repository, VM);
    for (const [k, [letters]] of this.#case.sessions.entries()) {
      this.#known.set(ids[k] ?? '', { image: sha256(blocks(letters)) });
    }
    this.#kept = this.#case.kept.map((position) => ids[position] ?? '');
  }

  async run(): Promise<void> {
    const { keep } = this.#case;
    if (keep) await prune(this.#repository, keep);
    else await synthesizeFull({ repository: this.#repository, vm: VM, workers: 0 });
  }

  async check(failure: Error | undefined): Promise<void> {
    await this.#checkKept();
    if (!failure) deepStrictEqual(await pointIdsOf(this.#repository, VM), this.#kept);
    if (this.#isPruneNext) {
      await this.run();
      deepStrictEqual(await pointIdsOf(this.#repository, VM), this.#kept);
    }
    await this.#session();
    await this.run();
    await this.#checkKept();
    await checkContainersListed(this.#repository);
    checkNoStrays(this.#repository);
  }

  /** The points that have to stay are there, and all points are whole. */
  async #checkKept(): Promise<void> {
    await expectClean(this.#repository);
    const listed = await pointIdsOf(this.#repository, VM);
    for (const id of this.#kept) ok(listed.includes(id), `point ${id} stays`);
    const points = listed.map((id): [string, PointContent] => [id, this.#known.get(id) ?? {}]);
    await checkPoints(this.#repository, VM, new Map(points));
  }

  /** One more session, with which the policy keeps other points. */
  async #session(): Promise<void> {
    const image = writeImage(path.join(this.#root, 'image'), NEXT);
    const report = await backup(this.#repository, image);
    this.#known.set(report.pointId, { image: sha256(NEXT) });
    const { keep, kept } = this.#case;
    if (!keep) this.#kept = [...this.#known.keys()];
    else {
      const ids = [...this.#known.keys()];
      const oldest = kept.filter((position) => position === 0).map(() => ids[0] ?? '');
      this.#kept = [...oldest, ...ids.slice(-(keep.last ?? 1))];
    }
  }
}

function scenarioOf(chainCase: ChainCase): SweepScenario {
  let runs = 0;
  return {
    title: chainCase.title,
    async build(base) {
      for (const [letters, mode] of chainCase.sessions) {
        const image = writeImage(path.join(base, 'image'), blocks(letters));
        const blockSizeBytes = mode === 'full' ? BLOCK_BYTES : undefined;
        await backup(path.join(base, 'repository'), image, { mode, blockSizeBytes });
      }
    },
    async prepare(root) {
      // Every fault meets both orders, whether each operation gets one fault or all of them.
      const turn = runs++;
      const isPruneNext = (turn + Math.floor(turn / FILE_FAULTS.length)) % 2 === 0;
      const work = new ChainWork(chainCase, root, isPruneNext);
      await work.prepare();
      return work;
    },
  };
}

export const CHAIN_SCENARIOS: readonly SweepScenario[] = CASES.map((one) => scenarioOf(one));
