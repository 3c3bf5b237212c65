/**
 * Repeats one piece of work. Each time another file-system operation fails, and the result is
 * checked. A scenario prepares the work and checks the result.
 */
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { BackupError } from '../../../src/core/errors.ts';
import { makeFastFolder } from '../folders.ts';
import { FaultyFiles, type FileFault } from './faultyFiles.ts';
import { openFilesIn } from './leaks.ts';

/** Work on a folder that was prepared for it. */
export interface SweepWork {
  /** Does the work, with the fault. */
  run(): Promise<unknown>;
  /**
   * Checks the result, without faults. Throws when something is lost.
   *
   * @param failure - the error of the work, or undefined when it ended well.
   */
  check(failure: BackupError | undefined): Promise<void>;
}

export interface SweepScenario {
  readonly title: string;
  /** Fills `base` once. Each try works on a copy. */
  readonly build: (base: string) => Promise<void>;
  readonly prepare: (root: string) => Promise<SweepWork>;
}

export interface SweepFigures {
  readonly operations: number;
  /** Tries in which a fault struck. */
  faultPoints: number;
  /** Tries among these whose work failed. The others did without the operation. */
  failures: number;
  /** Checks that failed, each with its fault. */
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

  /** Number of operations of the work without faults. It has to succeed. */
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
