/**
 * Runs one piece of work again and again, each time with another file-system operation failing, and checks what is
 * left. A scenario says how to prepare the work and what has to hold afterwards; the rest is here.
 */
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { BackupError } from '../../../src/core/errors.ts';
import { makeFastFolder } from '../folders.ts';
import { FaultyFiles, type FileFault } from './faultyFiles.ts';
import { openFilesIn } from './leaks.ts';

/** Work on a folder that was prepared for it. */
export interface SweepWork {
  /** Runs under the fault. */
  run(): Promise<unknown>;
  /**
   * Runs when nothing fails any more; throws when something is lost.
   *
   * @param failure - what the work ended with; undefined when it says that all went well.
   */
  check(failure: BackupError | undefined): Promise<void>;
}

export interface SweepScenario {
  readonly title: string;
  /** Fills `base` once; each run works on a copy. */
  readonly build: (base: string) => Promise<void>;
  readonly prepare: (root: string) => Promise<SweepWork>;
}

export interface SweepFigures {
  readonly operations: number;
  /** Runs in which a fault struck. */
  faultPoints: number;
  /** Of these, runs whose work failed; the others went on without what failed. */
  failures: number;
  /** What does not hold, with the fault that led there. */
  readonly problems: string[];
}

export interface SweepPlan {
  /** Faults that are tried at operation `nth`, from 1, of all `operations`. */
  readonly faultsAt: (nth: number, operations: number) => readonly FileFault[];
}

async function outcomeOf(work: SweepWork): Promise<Error | undefined> {
  try {
    await work.run();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

class Sweep {
  readonly #scenario: SweepScenario;
  readonly #files: FaultyFiles;
  readonly #folder: string;
  #runs = 0;

  constructor(scenario: SweepScenario, files: FaultyFiles, folder: string) {
    this.#scenario = scenario;
    this.#files = files;
    this.#folder = folder;
  }

  /** Operations of the work when nothing fails, which has to succeed. */
  async count(): Promise<number> {
    return await this.#withWork(async (work) => {
      this.#files.arm();
      await work.run();
      const { operations } = this.#files.disarm();
      await work.check(undefined);
      return operations;
    });
  }

  async tryFault(fault: FileFault, nth: number, figures: SweepFigures): Promise<void> {
    await this.#withWork(async (work, root) => {
      this.#files.arm({ fault, nth });
      const failure = await outcomeOf(work);
      const { struck } = this.#files.disarm();
      if (struck === undefined) return;
      figures.faultPoints++;
      if (failure) figures.failures++;
      try {
        await checkAfterwards(work, root, failure);
      } catch (error) {
        const cause = failure ? `, ended with ${String(failure)}` : '';
        const where = `${fault} at ${nth} (${struck.replaceAll(root, '')}${cause})`;
        const text = error instanceof Error ? error.stack : String(error);
        figures.problems.push(`${this.#scenario.title}: ${where}: ${text}`);
      }
    });
  }

  async #withWork<T>(use: (work: SweepWork, root: string) => Promise<T>): Promise<T> {
    const root = path.join(this.#folder, `run-${this.#runs++}`);
    cpSync(path.join(this.#folder, 'base'), root, { recursive: true });
    try {
      return await use(await this.#scenario.prepare(root), root);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  }
}

async function checkAfterwards(
  work: SweepWork,
  root: string,
  failure: Error | undefined,
): Promise<void> {
  const open = openFilesIn(root);
  if (open.length > 0) throw new Error(`left open: ${open.join(', ')}`);
  if (failure !== undefined && !(failure instanceof BackupError)) throw failure;
  if (failure?.code.startsWith('INTERNAL'))
    throw new Error('an error without a type', { cause: failure });
  await work.check(failure);
}

/** Tries every operation of a scenario. Patches the file system of this process while it runs. */
export async function sweep(scenario: SweepScenario, plan: SweepPlan): Promise<SweepFigures> {
  const folder = makeFastFolder('sweep');
  const files = await FaultyFiles.install(folder);
  try {
    mkdirSync(path.join(folder, 'base'));
    await scenario.build(path.join(folder, 'base'));
    const run = new Sweep(scenario, files, folder);
    const operations = await run.count();
    const figures: SweepFigures = { operations, faultPoints: 0, failures: 0, problems: [] };
    for (let nth = 1; nth <= operations; nth++) {
      for (const fault of plan.faultsAt(nth, operations)) await run.tryFault(fault, nth, figures);
    }
    return figures;
  } finally {
    files.uninstall();
    rmSync(folder, { recursive: true, force: true });
  }
}
