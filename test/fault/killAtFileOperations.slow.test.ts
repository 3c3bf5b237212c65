/**
 * Kills commands at random file operations. Committed points that must stay do stay. At most the
 * new point is added. The next session works. `npm run sweep` kills 200 times, the suite a few
 * times.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { SessionMode } from '../../src/sessions/backup/parent/parentChoice.ts';
import { backupArgs, runCli } from '../helpers/cli/cli.ts';
import { makeFastFolder } from '../helpers/folders.ts';
import { BLOCK_BYTES, blocks, sha256OfFile, writeImage } from '../helpers/bytes/images.ts';
import { IS_LONG_FORM } from '../helpers/longForm.ts';
import {
  backup,
  checkContainersListed,
  checkNoStrays,
  checkPoints,
  expectClean,
  contentOf,
  type PointContent,
} from '../helpers/repository/imageSessions.ts';
import { isBegunReport, pointIdsOf, strayFilesOf } from '../helpers/repository/repositoryFiles.ts';
import { createRandom, type Random } from '../helpers/bytes/random.ts';

const SEED = Number(process.env['KILL_SEED'] ?? 20_261_126);
/** Number of commands that must be killed. Some other commands end before their operation. */
const KILLS = IS_LONG_FORM
  ? { session: 70, merge: 60, deletion: 20, synthesis: 20, restore: 30 }
  : { session: 2, merge: 2, deletion: 1, synthesis: 1, restore: 1 };
const PRELOAD = fileURLToPath(new URL('../helpers/faults/selfKill.mjs', import.meta.url));
const LETTERS = 'ABCDabcd0';
const LIMIT_MS = 3_600_000;
/** About the number of operations of a command, so that few kills come too late. */
const OPERATIONS = { session: 77, merge: 78, deletion: 33, synthesis: 82, restore: 42 };
/**
 * Most commands that are started per kill. Needing more means that the operations above are too
 * many.
 */
const MAX_TRIES = 3;

type Kind = keyof typeof KILLS;

/** A chain in a folder, and the expected content of each point. */
class KillScene {
  readonly folder = makeFastFolder('kills');
  readonly known = new Map<string, PointContent>();
  readonly #random: Random = createRandom(SEED);
  started = 0;
  killed = 0;

  get repository(): string {
    return path.join(this.folder, 'repository');
  }

  /** Writes a new image. Returns the digest that its restore must have. */
  putImage(): { readonly image: string; readonly content: PointContent } {
    const letters = Array.from({ length: 3 }, () => LETTERS[this.#random.below(LETTERS.length)]);
    const image = writeImage(path.join(this.folder, 'image'), blocks(letters.join('')));
    return { image, content: { image: sha256OfFile(image) } };
  }

  async session(mode: SessionMode = 'auto'): Promise<void> {
    const { image, content } = this.putImage();
    const options = mode === 'full' ? { mode, blockSizeBytes: BLOCK_BYTES } : {};
    const { pointId } = await backup(this.repository, image, options);
    this.known.set(pointId, content);
  }

  /** A chain of a full and two increments; after `more` sessions a new full. */
  async chain(more = 0): Promise<void> {
    for (let k = 0; k < 3; k++) await this.session();
    if (more > 0) await this.session('full');
    for (let k = 1; k < more; k++) await this.session();
  }

  /** Deletes the repository. A long chain would only cost time. */
  clear(): void {
    rmSync(this.repository, { recursive: true, force: true });
    this.known.clear();
  }

  /** Starts a command that is killed at one of its first operations. */
  async kill(kind: Kind, args: readonly string[]): Promise<string> {
    const env = {
      NODE_OPTIONS: `--import ${PRELOAD}`,
      KILL_ROOT: this.folder,
      KILL_AT: String(1 + this.#random.below(OPERATIONS[kind])),
    };
    const { signal } = await runCli(args, env);
    this.started++;
    if (signal === 'SIGKILL') this.killed++;
    return `${kind} killed at ${env.KILL_AT}, command ${this.started} (seed ${SEED})`;
  }

  /** True when enough commands of this kind were killed. */
  isDone(kind: Kind): boolean {
    expect(this.started).toBeLessThanOrEqual(MAX_TRIES * KILLS[kind]);
    if (this.killed < KILLS[kind]) return false;
    console.log(`${kind}: ${this.killed} of ${this.started} killed, 0 lost`);
    return true;
  }

  /** No point is lost, and a new point holds the whole image. */
  async check(title: string, content?: PointContent): Promise<void> {
    await expectClean(this.repository);
    await checkPoints(this.repository, 'vm', this.known);
    for (const id of await pointIdsOf(this.repository, 'vm')) {
      if (this.known.has(id)) continue;
      expect(await contentOf(this.repository, 'vm', id), title).toEqual(content);
      this.known.set(id, content ?? {});
    }
  }

  /** The points that a prune keeps exist. Other points that still exist are complete. */
  async checkPruned(keptIds: readonly string[], title: string): Promise<void> {
    const listed = await pointIdsOf(this.repository, 'vm');
    expect(listed, title).toEqual(expect.arrayContaining([...keptIds]));
    for (const id of this.known.keys()) if (!listed.includes(id)) this.known.delete(id);
    await this.check(title);
  }

  /** The next session works, and leaves no file that does not belong to the repository. */
  async checkContinued(title: string, content?: PointContent): Promise<void> {
    await this.session();
    await this.check(title, content);
    await checkContainersListed(this.repository);
    checkNoStrays(this.repository);
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function withScene(work: (scene: KillScene) => Promise<void>): Promise<void> {
  const scene = new KillScene();
  try {
    await work(scene);
  } finally {
    scene.close();
  }
}

test(
  'a session that is killed at a file operation loses nothing',
  async () => {
    await withScene(async (scene) => {
      while (!scene.isDone('session')) {
        if (scene.known.size > 6) scene.clear();
        if (scene.known.size === 0) await scene.session();
        const { image, content } = scene.putImage();

        const title = await scene.kill('session', backupArgs(scene.repository, image));

        await scene.check(title, content);
        // The next session adopts a container that was published and not listed.
        await scene.checkContinued(title, content);
      }
    });
  },
  LIMIT_MS,
);

interface PruneCase {
  readonly kind: Kind;
  /** Number of points of a second chain. */
  readonly more: number;
  readonly keep: readonly string[];
  /** Positions of the points that stay. Negative ones count from the end. */
  readonly kept: readonly number[];
}

const PRUNES: readonly PruneCase[] = [
  // Alternately a merge into the full, and a merge of the increments between the oldest and newest
  // point.
  { kind: 'merge', more: 0, keep: ['--keep-last', '2'], kept: [-2, -1] },
  { kind: 'merge', more: 0, keep: ['--keep-yearly', '4'], kept: [0, -1] },
  { kind: 'deletion', more: 2, keep: ['--keep-last', '2'], kept: [-2, -1] },
];

test.each(['merge', 'deletion'] as const)(
  'a prune that is killed at a file operation of a %s loses no point that is kept',
  async (kind) => {
    const cases = PRUNES.filter((one) => one.kind === kind);
    await withScene(async (scene) => {
      while (!scene.isDone(kind)) {
        const { more, keep, kept } = cases[scene.started % cases.length] as PruneCase;
        scene.clear();
        await scene.chain(more);
        const ids = [...scene.known.keys()];
        const keptIds = kept.map((position) => ids.at(position) ?? '');
        const args = ['prune', '--repo', scene.repository, ...keep];

        const title = await scene.kill(kind, args);

        await scene.checkPruned(keptIds, title);
        if (scene.killed % 2 === 0) {
          expect(await runCli(args), title).toMatchObject({ exitCode: 0 });
          expect(await pointIdsOf(scene.repository, 'vm'), title).toEqual(keptIds);
          await scene.checkPruned(keptIds, title);
        }
        await scene.checkContinued(title);
      }
    });
  },
  LIMIT_MS,
);

test(
  'a synthesis that is killed at a file operation loses nothing',
  async () => {
    await withScene(async (scene) => {
      while (!scene.isDone('synthesis')) {
        scene.clear();
        await scene.chain();
        const args = ['synthesize', '--repo', scene.repository, '--vm', 'vm'];

        const title = await scene.kill('synthesis', args);

        await scene.check(title);
        await scene.checkContinued(title);
      }
    });
  },
  LIMIT_MS,
);

test(
  'a restore that is killed at a file operation leaves whole images or none',
  async () => {
    await withScene(async (scene) => {
      await scene.chain();
      const content = [...scene.known.values()].at(-1) ?? {};
      while (!scene.isDone('restore')) {
        const output = mkdtempSync(path.join(scene.folder, 'output-'));
        const args = ['restore', '--repo', scene.repository, '--vm', 'vm', '--output', output];

        const title = await scene.kill('restore', args);

        for (const name of existsSync(output) ? readdirSync(output) : []) {
          if (name === 'image') {
            expect(sha256OfFile(path.join(output, name)), title).toBe(content['image']);
          } else expect(name, title).toMatch(/\.partial$/);
        }
        expect(strayFilesOf(scene.repository).filter((name) => !isBegunReport(name))).toEqual([]);
      }
      await scene.checkContinued('after all');
    });
  },
  LIMIT_MS,
);
