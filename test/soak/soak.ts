/**
 * A long test over VMs of the lab: edits, sessions, faults, kills, checks and restores, chosen at
 * random. A model knows every byte of every restore point. Everything follows from the seed, except
 * the order in which parallel requests arrive.
 */
import { deepStrictEqual, ok } from 'node:assert';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { BackupError } from '../../src/core/errors.ts';
import type { BackupVmsOptions } from '../../src/sessions/backup/backupVms.ts';
import { THREADED_FROM } from '../../src/ovirt/imageio/rangeThreads.ts';
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
/** Tickets of the lab stay valid when a busy machine stops a process for seconds. */
const TIME_SCALE = 0.01;

/** Counts of one soak. */
export interface SoakFigures {
  actions: number;
  sessions: number;
  failedSessions: number;
  /** Sessions whose data threads move, where their disks have any. */
  threadedSessions: number;
  faults: number;
  fileFaults: number;
  aborts: number;
  kills: number;
  verifies: number;
  prunes: number;
  pointsPruned: number;
  synthesized: number;
  /** Stored blocks with a flipped bit. */
  flips: number;
  blocksHealed: number;
  /** Restores of damaged points that failed, as they must. */
  damagedRefused: number;
  audits: number;
  /** Disks with a change map that an audit found wrong. */
  auditsFound: number;
  pointsRestored: number;
  vmsRestored: number;
  bytesCompared: number;
}

export interface SoakLimits {
  readonly seed: number;
  /** Stops after the first action that ends later than this. */
  readonly untilMs: number;
  readonly maxActions: number;
}

export class Soak {
  readonly #usualThreadedFrom = THREADED_FROM.bytes;
  readonly figures: SoakFigures = {
    actions: 0,
    sessions: 0,
    failedSessions: 0,
    threadedSessions: 0,
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
  /** The actions so far, one line each. */
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
    // The disks here are small.
    THREADED_FROM.bytes = 0;
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

  /** Executes actions until a limit is reached. Throws when a check fails. */
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

  /** After a failure the folder stays, so that it can be examined. */
  async close(keepFolder: boolean): Promise<void> {
    this.#files.uninstall();
    THREADED_FROM.bytes = this.#usualThreadedFrom;
    await this.lab.close();
    if (!keepFolder) rmSync(this.folder, { recursive: true, force: true });
  }

  /** Executes a session. An error has a type. After a commit the model gets the frozen content. */
  async session(
    vm: SoakVm,
    options: Partial<BackupVmsOptions> = {},
  ): Promise<SessionReport | undefined> {
    const { figures } = this;
    figures.sessions++;
    const blockSizeBytes = vm.points.length === 0 ? BLOCK_BYTES : undefined;
    const partialReads = this.random.below(2) === 0;
    const workers = this.someWorkers();
    const wanted = { blockSizeBytes, partialReads, workers, ...options };
    const report = await this.typed(() => this.lab.backup(vm.vm, this.repository, wanted));
    if (report) {
      vm.remember(this.lab, report);
      figures.blocksHealed += report.healing?.blockCount ?? 0;
    } else figures.failedSessions++;
    return report;
  }

  /** No worker, or one or two: then threads move the data of images, too. */
  someWorkers(): number {
    const workers = this.random.below(3);
    if (workers > 0) this.figures.threadedSessions++;
    return workers;
  }

  /**
   * A session without faults commits, leaves one checkpoint on the engine, and its point is
   * undamaged.
   */
  async cleanSession(vm: SoakVm, options: Partial<BackupVmsOptions> = {}): Promise<SessionReport> {
    const report = await this.session(vm, options);
    ok(report, 'a session without faults commits');
    await vm.learn(this);
    const base = report.engine?.toCheckpointId ?? '';
    const others = vm.vm.checkpointIds().filter((id) => id !== base);
    deepStrictEqual(others, [], 'superseded checkpoints are gone');
    return report;
  }

  /** The result of work that may fail with a typed error. Undefined when it failed. */
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

  /** A session during faults of requests and writes of the guest. */
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

  /** Work during a fault of a file operation. */
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

  /** At the end everything is checked: each point of each VM, each block, the engine. */
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
