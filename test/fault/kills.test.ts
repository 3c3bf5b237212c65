/**
 * Commands that are killed at random file operations: what was committed stays, at most the new point comes on top,
 * and the next session works. `npm run sweep` kills 200 times; the suite does it a few times.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { backupArgs, runCli } from '../helpers/cli.ts';
import { makeFastFolder } from '../helpers/fastFolder.ts';
import { blocks, sha256OfFile, writeImage } from '../helpers/images.ts';
import {
  backupFull,
  backupImage,
  checkNoStrays,
  checkPoints,
  checkVerifies,
  contentOf,
  type PointContent,
  pointIdsOf,
} from '../helpers/plainRepository.ts';
import { createRandom, type Random } from '../helpers/random.ts';

const IS_FULL = process.env['SWEEP'] === 'full';
const SEED = Number(process.env['KILL_SEED'] ?? 20_261_126);
const KILLS = IS_FULL ? 100 : 5;
const PRELOAD = fileURLToPath(new URL('../helpers/selfKill.mjs', import.meta.url));
const LETTERS = 'ABCDabcd0';
const LIMIT_MS = 3_600_000;
/** Above the operations of a command, so that some kills come too late. */
const SESSION_OPERATIONS = 80;
const RESTORE_OPERATIONS = 40;

/** A chain in a folder, and what each of its points has to be. */
class KillScene {
  readonly folder = makeFastFolder('kills');
  readonly known = new Map<string, PointContent>();
  readonly #random: Random = createRandom(SEED);
  killed = 0;

  get repository(): string {
    return path.join(this.folder, 'repository');
  }

  /** A new image, and its digest as a point has it. */
  putImage(): { readonly image: string; readonly content: PointContent } {
    const letters = Array.from({ length: 3 }, () => LETTERS[this.#random.below(LETTERS.length)]);
    const image = writeImage(path.join(this.folder, 'image'), blocks(letters.join('')));
    return { image, content: { image: sha256OfFile(image) } };
  }

  async session(): Promise<void> {
    const { image, content } = this.putImage();
    const store = this.known.size === 0 ? backupFull : backupImage;
    this.known.set((await store(this.repository, image)).pointId, content);
  }

  /** Runs a command that is killed at one of its first `operations` operations. */
  async kill(args: readonly string[], operations: number): Promise<string> {
    const env = {
      NODE_OPTIONS: `--import ${PRELOAD}`,
      KILL_ROOT: this.folder,
      KILL_AT: String(1 + this.#random.below(operations)),
    };
    const { signal } = await runCli(args, env);
    if (signal === 'SIGKILL') this.killed++;
    return `${args[0]} killed at ${env.KILL_AT} (seed ${SEED})`;
  }

  /** Nothing is lost, and what is new is the whole image. */
  async check(content: PointContent, title: string): Promise<void> {
    await checkVerifies(this.repository);
    await checkPoints(this.repository, 'vm', this.known);
    for (const id of await pointIdsOf(this.repository, 'vm')) {
      if (this.known.has(id)) continue;
      expect(await contentOf(this.repository, 'vm', id), title).toEqual(content);
      this.known.set(id, content);
    }
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
  `${KILLS} sessions that are killed at a file operation lose nothing`,
  async () => {
    await withScene(async (scene) => {
      await scene.session();
      for (let k = 0; k < KILLS; k++) {
        // A chain of many points only takes longer.
        if (scene.known.size > 6) {
          rmSync(scene.repository, { recursive: true });
          scene.known.clear();
          await scene.session();
        }
        const { image, content } = scene.putImage();

        const title = await scene.kill(backupArgs(scene.repository, image), SESSION_OPERATIONS);

        await scene.check(content, title);
        // A container that was named but not listed is adopted by the next session.
        await scene.session();
        await scene.check(content, title);
        checkNoStrays(scene.repository);
      }
      console.log(`sessions: ${scene.killed} of ${KILLS} killed, 0 lost`);
      expect(scene.killed).toBeGreaterThan(KILLS / 2);
    });
  },
  LIMIT_MS,
);

test(
  `${KILLS} restores that are killed at a file operation leave whole images or none`,
  async () => {
    await withScene(async (scene) => {
      await scene.session();
      const { image, content } = scene.putImage();
      scene.known.set((await backupImage(scene.repository, image)).pointId, content);
      for (let k = 0; k < KILLS; k++) {
        const output = mkdtempSync(path.join(scene.folder, 'output-'));
        const args = ['restore', '--repo', scene.repository, '--vm', 'vm', '--output', output];

        const title = await scene.kill(args, RESTORE_OPERATIONS);

        for (const name of existsSync(output) ? readdirSync(output) : []) {
          if (name === 'image') {
            expect(sha256OfFile(path.join(output, name)), title).toBe(content['image']);
          } else expect(name, title).toMatch(/\.partial$/);
        }
        checkNoStrays(scene.repository);
      }
      await scene.check(content, 'after all');
      console.log(`restores: ${scene.killed} of ${KILLS} killed, 0 lost`);
      expect(scene.killed).toBeGreaterThan(KILLS / 2);
    });
  },
  LIMIT_MS,
);
