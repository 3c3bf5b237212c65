/** Scenarios of the fault sweep: sessions of image files and of a VM, and a restore. */
import { deepStrictEqual, ok } from 'node:assert';
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import type { LabVm } from '../../../lab/src/index.ts';
import type { BackupError } from '../../../src/core/errors.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { restoreImages } from '../../../src/sessions/restore/restoreImages.ts';
import { BLOCK_BYTES, blocks, sha256, writeImage } from '../bytes/images.ts';
import {
  backup,
  checkNoStrays,
  checkPoints,
  expectClean,
  contentOf,
  digestsIn,
  type PointContent,
  VM,
} from '../repository/imageSessions.ts';
import { fileTree, pointIdsOf } from '../repository/repositoryFiles.ts';
import { noise } from '../bytes/random.ts';
import type { PlainLab } from '../lab/plainLab.ts';
import type { SweepScenario, SweepWork } from './sweep.ts';

const [FIRST, SECOND, THIRD, FOURTH] = ['Aa0', 'Ba0', 'BCx', '0Dx'].map((letters) =>
  blocks(letters),
) as [Buffer, Buffer, Buffer, Buffer];

function repositoryIn(root: string): string {
  return path.join(root, 'repository');
}

function contentOfImage(image: Uint8Array): PointContent {
  return { image: sha256(image) };
}

function putImage(root: string, content: Uint8Array): string {
  return writeImage(path.join(root, 'image'), content);
}

/** The contents of a chain as the sessions stored them, oldest first. */
async function pointsWith(
  root: string,
  images: readonly Uint8Array[],
): Promise<Map<string, PointContent>> {
  const ids = await pointIdsOf(repositoryIn(root), VM);
  return new Map(ids.map((id, k) => [id, contentOfImage(images[k] ?? new Uint8Array())]));
}

/** One more session works, and every point restores. */
async function checkContinued(
  root: string,
  points: ReadonlyMap<string, PointContent>,
): Promise<void> {
  const repository = repositoryIn(root);
  const report = await backup(repository, putImage(root, FOURTH));
  const all = new Map([...points, [report.pointId, contentOfImage(FOURTH)]]);
  await expectClean(repository);
  await checkPoints(repository, VM, all);
  checkNoStrays(repository);
}

/** A session that stores `content`, after the points of `before`. */
function sessionOf(before: readonly Uint8Array[], content: Uint8Array): SweepScenario {
  const isFull = before.length === 0;
  return {
    title: isFull ? 'image session, full' : 'image session, increment',
    async build(base) {
      for (const image of before) {
        await backup(repositoryIn(base), putImage(base, image));
      }
    },
    async prepare(root) {
      const repository = repositoryIn(root);
      const known = isFull ? new Map<string, PointContent>() : await pointsWith(root, before);
      const image = putImage(root, content);
      let report: SessionReport | undefined;
      return {
        run: async () => {
          report = await backup(repository, image);
        },
        check: async (failure) => {
          if (!failure) known.set(report?.pointId ?? '', contentOfImage(content));
          await checkCommitted(root, known, content);
          await checkContinued(root, known);
        },
      };
    },
  };
}

/** All known points are there. At most one new point is there too, and it is whole. */
async function checkCommitted(
  root: string,
  known: ReadonlyMap<string, PointContent>,
  content: Uint8Array,
): Promise<void> {
  const repository = repositoryIn(root);
  if (known.size === 0 && !existsSync(path.join(repository, 'ovirt-cbt.json'))) return;
  if (known.size > 0) {
    await expectClean(repository);
    await checkPoints(repository, VM, known);
  }
  const others = (await pointIdsOf(repository, VM)).filter((id) => !known.has(id));
  for (const id of others) {
    deepStrictEqual(await contentOf(repository, VM, id), contentOfImage(content));
  }
}

function checkOutput(
  output: string,
  expected: PointContent,
  failure: BackupError | undefined,
): void {
  if (failure && !existsSync(output)) return;
  const restored = digestsIn(output);
  // An image with a disk's name is whole. An incomplete one is named `.partial`.
  for (const [name, digest] of Object.entries(restored)) {
    if (name === 'image') deepStrictEqual(digest, expected['image']);
    else ok(failure && name.endsWith('.partial'), `${name} in the output`);
  }
  if (!failure) deepStrictEqual(restored, expected);
}

const RESTORE: SweepScenario = {
  title: 'restore to files',
  async build(base) {
    await backup(repositoryIn(base), putImage(base, FIRST));
    await backup(repositoryIn(base), putImage(base, SECOND));
  },
  async prepare(root) {
    const repository = repositoryIn(root);
    const known = await pointsWith(root, [FIRST, SECOND]);
    const before = fileTree(repository);
    const output = path.join(root, 'output');
    return {
      run: () => restoreImages({ repository, vm: VM, output, workers: 0 }),
      check: async (failure) => {
        checkOutput(output, contentOfImage(SECOND), failure);
        deepStrictEqual(fileTree(repository), before, 'a restore changes nothing');
        await checkPoints(repository, VM, known);
      },
    };
  },
};

export const IMAGE_SCENARIOS: readonly SweepScenario[] = [
  sessionOf([], FIRST),
  sessionOf([FIRST, SECOND], THIRD),
  RESTORE,
];

function addVm(lab: PlainLab): LabVm {
  const vm = lab.lab.addVm({
    name: 'web01',
    disks: [{ name: 'sys', sizeBytes: 3 * BLOCK_BYTES + 512 }],
  });
  vm.disk('sys').write(0, noise(1, 2 * BLOCK_BYTES));
  return vm;
}

/**
 * A session of a VM that has one point. Each try gets its own VM, since a session changes
 * checkpoints.
 */
class EngineWork implements SweepWork {
  readonly #lab: PlainLab;
  readonly #vm: LabVm;
  readonly #repository: string;
  readonly #known = new Map<string, PointContent>();
  #report: SessionReport | undefined;

  constructor(lab: PlainLab, repository: string) {
    this.#lab = lab;
    this.#vm = addVm(lab);
    this.#repository = repository;
  }

  async prepare(): Promise<void> {
    this.#remember(await this.#lab.backupFull(this.#vm, this.#repository));
    this.#edit(2);
  }

  async run(): Promise<void> {
    this.#report = await this.#lab.backup(this.#vm, this.#repository);
  }

  async check(): Promise<void> {
    const { id } = this.#vm;
    if (this.#report) this.#remember(this.#report);
    await checkPoints(this.#repository, id, this.#known);
    this.#edit(3);
    this.#remember(await this.#lab.backup(this.#vm, this.#repository));
    await expectClean(this.#repository);
    await checkPoints(this.#repository, id, this.#known);
    checkNoStrays(this.#repository);
    this.#lab.checkNothingLeft();
  }

  #edit(seed: number): void {
    this.#vm.disk('sys').write(seed * 1000, noise(seed, 5000));
  }

  #remember(report: SessionReport): void {
    this.#known.set(report.pointId, this.#lab.frozenContent(this.#vm, report));
  }
}

export function engineScenario(lab: PlainLab): SweepScenario {
  return {
    title: 'engine session, increment',
    async build(base) {
      mkdirSync(path.join(base, 'repository'));
    },
    async prepare(root) {
      const work = new EngineWork(lab, path.join(root, 'repository'));
      await work.prepare();
      return work;
    },
  };
}
