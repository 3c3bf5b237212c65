/** The scenario of the fault sweep over a VM of an engine: an increment by its change map. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { LabVm } from '../../../lab/src/index.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { BLOCK_BYTES } from '../bytes/images.ts';
import type { PlainLab } from '../lab/plainLab.ts';
import {
  checkNoStrays,
  checkPoints,
  expectClean,
  type PointContent,
} from '../repository/imageSessions.ts';
import { noise } from '../bytes/random.ts';
import type { SweepScenario, SweepWork } from './sweep.ts';

function addVm(lab: PlainLab): LabVm {
  const vm = lab.lab.addVm({
    name: 'web01',
    disks: [{ name: 'sys', sizeBytes: 3 * BLOCK_BYTES + 512 }],
  });
  vm.disk('sys').write(0, noise(1, 2 * BLOCK_BYTES));
  return vm;
}

/** A session of a VM that has one point; each run gets a VM of its own, since its checkpoints move on. */
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
