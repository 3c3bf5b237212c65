/**
 * A long run over VMs of the lab: edits, sessions, faults, kills, checks and restores drawn at random, against a model
 * that knows every byte of every restore point. Everything follows from the seed but the order in which requests
 * that run at once arrive.
 */
import { deepStrictEqual, ok } from 'node:assert';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { BackupError } from '../../src/core/errors.ts';
import type { BackupVmsOptions } from '../../src/sessions/backup/backupVms.ts';
import type { SessionReport } from '../../src/sessions/shared/report.ts';
import { makeFastFolder } from '../helpers/folders.ts';
import { FaultyFiles, FILE_FAULTS } from '../helpers/faults/faultyFiles.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { PlainLab } from '../helpers/lab/plainLab.ts';
import { checkContainersListed } from '../helpers/repository/imageSessions.ts';
import { createRandom, type Random } from '../helpers/bytes/random.ts';
import { FAULTY_TIMINGS, RANDOM_FAULTS } from '../helpers/lab/troubles.ts';
import { ACTIONS, type SoakAction } from './actions.ts';
import { SoakVm } from './model.ts';

const MAX_VMS = 3;
/** Tickets of the lab outlive a process that a busy machine does not run for seconds. */
const TIME_SCALE = 0.01;

/** What a run has done. */
export interface SoakFigures {
  actions: number;
  sessions: number;
  failedSessions: number;
  faults: number;
  fileFaults: number;
  aborts: number;
  kills: number;
  verifies: number;
  prunes: number;
  pointsPruned: number;
  synthesized: number;
  /** Stored blocks in which a bit was flipped. */
  flips: number;
  blocksHealed: number;
  /** Restores of damaged points, which fail. */
  damagedRefused: number;
  audits: number;
  /** Disks whose change map an audit found wrong. */
  auditsFound: number;
  pointsRestored: number;
  vmsRestored: number;
  bytesCompared: number;
}

export interface SoakLimits {
  readonly seed: number;
  /** Stops after the first action that ends later. */
  readonly untilMs: number;
  readonly maxActions: number;
}

export class Soak {
  readonly figures: SoakFigures = {
    actions: 0,
    sessions: 0,
    failedSessions: 0,
    faults: 0,
    fileFaults: 0,
    aborts: 0,
    kills: 0,
    verifies: 0,
    prunes: 0,
    pointsPruned: 0,
    synthesized: 0,
    flips: 0,
    blocksHealed: 0,
    damagedRefused: 0,
    audits: 0,
    auditsFound: 0,
    pointsRestored: 0,
    vmsRestored: 0,
    bytesCompared: 0,
  };
  /** What was done, a line each. */
  readonly log: string[] = [];
  readonly folder: string;
  readonly lab: PlainLab;
  readonly random: Random;
  readonly vms: SoakVm[] = [];
  readonly #files: FaultyFiles;
  #vmsMade = 0;

  private constructor(lab: PlainLab, random: Random, files: FaultyFiles, folder: string) {
    this.lab = lab;
    this.random = random;
    this.#files = files;
    this.folder = folder;
  }

  static async start(seed: number): Promise<Soak> {
    const lab = await PlainLab.start({ timeScale: TIME_SCALE });
    lab.lab.faults.seed(seed);
    const folder = makeFastFolder('soak');
    const files = await FaultyFiles.install(folder);
    const soak = new Soak(lab, createRandom(seed), files, folder);
    soak.addVm();
    return soak;
  }

  get repository(): string {
    return path.join(this.folder, 'repository');
  }

  addVm(): void {
    if (this.vms.length >= MAX_VMS) return;
    this.vms.push(new SoakVm(this.lab, `soak${this.#vmsMade++}`, this.random));
  }

  note(text: string): void {
    this.log.push(`${this.figures.actions}: ${text}`);
  }

  /** Runs actions until a limit is reached; throws when something does not hold. */
  async run(limits: SoakLimits): Promise<void> {
    const { figures } = this;
    while (figures.actions < limits.maxActions && performance.now() < limits.untilMs) {
      figures.actions++;
      const vm = this.vms[this.random.below(this.vms.length)];
      const action = this.#draw();
      if (!vm) return;
      this.note(`${action.name} ${vm.vm.name}`);
      await action.run(this, vm);
    }
    await this.#finish();
  }

  /** The folder stays after a failure, to be looked at. */
  async close(keepFolder: boolean): Promise<void> {
    this.#files.uninstall();
    await this.lab.close();
    if (!keepFolder) rmSync(this.folder, { recursive: true, force: true });
  }

  /** Runs a session; what it ends with is typed, and when it commits, the model knows what it froze. */
  async session(
    vm: SoakVm,
    options: Partial<BackupVmsOptions> = {},
  ): Promise<SessionReport | undefined> {
    const { figures } = this;
    figures.sessions++;
    const blockSizeBytes = vm.points.length === 0 ? BLOCK_BYTES : undefined;
    const partialReads = this.random.below(2) === 0;
    const wanted = { blockSizeBytes, partialReads, ...options };
    const report = await this.typed(() => this.lab.backup(vm.vm, this.repository, wanted));
    if (report) {
      vm.remember(this.lab, report);
      figures.blocksHealed += report.healing?.blockCount ?? 0;
    } else figures.failedSessions++;
    return report;
  }

  /** A session without faults: it commits, leaves one checkpoint on the engine, and its point needs nothing damaged. */
  async cleanSession(vm: SoakVm, options: Partial<BackupVmsOptions> = {}): Promise<SessionReport> {
    const report = await this.session(vm, options);
    ok(report, 'a session without faults commits');
    await vm.learn(this);
    const base = report.engine?.toCheckpointId ?? '';
    const others = vm.vm.checkpointIds().filter((id) => id !== base);
    deepStrictEqual(others, [], 'superseded checkpoints are gone');
    return report;
  }

  /** What comes of work that may fail, with a type; undefined when it did. */
  async typed<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      const isTyped = error instanceof BackupError && !error.code.startsWith('INTERNAL');
      if (!isTyped) throw error;
      this.note(`failed: ${error.code}`);
      return undefined;
    }
  }

  /** A session while requests go wrong and the guest writes. */
  async faultySession(vm: SoakVm): Promise<void> {
    const { faults } = this.lab.lab;
    const during = faults.add(
      { path: /\/backups\/[^/]+$|\/extents|\/images\/[^/]+$|\/finalize$/, probability: 0.3 },
      { run: () => vm.write() },
    );
    const thrown = RANDOM_FAULTS.map(([match, action, probability]) =>
      faults.add({ ...match, probability }, action),
    );
    try {
      await this.session(vm, { engine: this.lab.settings(FAULTY_TIMINGS) });
    } finally {
      faults.remove(during);
      for (const fault of thrown) {
        faults.remove(fault);
        this.figures.faults += faults.fired(fault);
      }
    }
  }

  /** Work while a file operation goes wrong. */
  async withFileFault(operations: number, work: () => Promise<unknown>): Promise<void> {
    const fault = FILE_FAULTS[this.random.below(FILE_FAULTS.length)] ?? 'EIO';
    const nth = 1 + this.random.below(operations);
    this.note(`${fault} at ${nth}`);
    this.#files.arm({ fault, nth });
    try {
      await work();
    } finally {
      if (this.#files.disarm().struck !== undefined) this.figures.fileFaults++;
    }
  }

  #draw(): SoakAction {
    const total = ACTIONS.reduce((sum, { weight }) => sum + weight, 0);
    let at = this.random.below(total);
    for (const action of ACTIONS) {
      if (at < action.weight) return action;
      at -= action.weight;
    }
    throw new Error('no action');
  }

  /** At the end everything is looked at: each point of each VM, each block, the engine. */
  async #finish(): Promise<void> {
    for (const vm of this.vms) {
      this.note(`last session ${vm.vm.name}`);
      ok(await this.session(vm), `the last session of ${vm.vm.name} commits`);
      await vm.checkAll(this);
      await vm.checkDamage(this);
    }
    await checkContainersListed(this.repository);
    this.lab.checkNothingLeft();
  }
}
