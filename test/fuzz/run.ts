/**
 * Fuzzes for a chosen time: `npm run fuzz -- --minutes N [--seed S] [--target T] [--iteration N]`.
 * A child process with a small heap reads the inputs. This process watches its memory and its time.
 * An input follows from seed, target and iteration alone, so a finding can be repeated.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type FuzzTarget, inputOf, tryInput } from './target.ts';
import { openTargets } from './targets.ts';

const HEAP_MIB = 256;
/**
 * Most resident memory of the reading process: its code, a few slabs, and the memory that inputs
 * justify.
 */
const MAX_RESIDENT_BYTES = 900 * 1024 * 1024;
/** Longest pause between two inputs, also on a busy machine. A longer one is a hang. */
const HANG_MS = 30_000;
const FINDINGS = 'fuzz-findings';

interface Progress {
  readonly target: string;
  readonly iteration: number;
}

type Report =
  | ({ readonly kind: 'begin' } & Progress)
  | ({ readonly kind: 'finding'; readonly text: string } & Progress)
  | { readonly kind: 'done'; readonly tried: Readonly<Record<string, number>> };

interface Options {
  readonly seed: number;
  readonly minutes: number;
  readonly target: string | undefined;
  readonly iteration: number | undefined;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '1' },
      seed: { type: 'string' },
      target: { type: 'string' },
      iteration: { type: 'string' },
    },
  });
  return {
    minutes: Number(values.minutes),
    seed: Number(values.seed ?? Date.now() % 1_000_000_007),
    target: values.target,
    iteration: values.iteration === undefined ? undefined : Number(values.iteration),
  };
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** The reading process: every target in turn, fast ones more often. */
class Worker {
  readonly #options: Options;
  readonly #tried: Record<string, number> = {};

  constructor(options: Options) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const targets = await openTargets();
    const { target: wanted, iteration: only, minutes } = this.#options;
    const chosen = targets.filter(({ name }) => wanted === undefined || name === wanted);
    const endAtMs = performance.now() + minutes * 60_000;
    for (let round = 0; performance.now() < endAtMs; round++) {
      for (const target of chosen) {
        const count = only === undefined ? Math.ceil(120 / (target.cost ?? 1)) : 1;
        for (let k = 0; k < count; k++) await this.#try(target, only ?? round * count + k);
      }
      if (only !== undefined) break;
    }
    for (const target of targets) await target.close?.();
    send({ kind: 'done', tried: this.#tried });
  }

  async #try(target: FuzzTarget, iteration: number): Promise<void> {
    const { name } = target;
    send({ kind: 'begin', target: name, iteration });
    this.#tried[name] = (this.#tried[name] ?? 0) + 1;
    const finding = await tryInput(target, inputOf(target, this.#options.seed, iteration));
    if (finding !== undefined) report(name, iteration, describe(finding));
    const residentBytes = process.memoryUsage.rss();
    if (residentBytes > MAX_RESIDENT_BYTES) {
      report(name, iteration, `${residentBytes} B of memory`);
      process.exit(1);
    }
  }
}

function send(message: Report): void {
  process.send?.(message);
}

function report(target: string, iteration: number, text: string): void {
  send({ kind: 'finding', target, iteration, text });
}

/** The process that watches. */
class Watch {
  readonly findings: string[] = [];
  readonly #options: Options;
  #tried: Readonly<Record<string, number>> = {};
  #last: Progress | undefined;
  #lastAtMs = performance.now();

  constructor(options: Options) {
    this.#options = options;
  }

  async run(): Promise<number> {
    const child = fork(fileURLToPath(import.meta.url), [], {
      execArgv: [`--max-old-space-size=${HEAP_MIB}`],
      env: { ...process.env, FUZZ_OPTIONS: JSON.stringify(this.#options) },
    });
    child.on('message', (message: Report) => this.#take(message));
    const timer = setInterval(() => this.#look(child), 1000);
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
      child.once('exit', (exitCode, exitSignal) => resolve([exitCode, exitSignal]));
    });
    clearInterval(timer);
    if (code !== 0 && this.#last) this.#add(this.#last, `the process ended: ${signal ?? code}`);
    this.#print();
    return this.findings.length === 0 ? 0 : 1;
  }

  #take(message: Report): void {
    this.#lastAtMs = performance.now();
    if (message.kind === 'begin') this.#last = message;
    if (message.kind === 'finding') this.#add(message, message.text);
    if (message.kind === 'done') this.#tried = message.tried;
  }

  #look(child: ChildProcess): void {
    if (performance.now() - this.#lastAtMs < HANG_MS || !this.#last) return;
    this.#add(this.#last, `hangs for ${HANG_MS} ms`);
    child.kill('SIGKILL');
  }

  #add({ target, iteration }: Progress, text: string): void {
    const { seed } = this.#options;
    this.findings.push(text);
    console.log(`FINDING --seed ${seed} --target ${target} --iteration ${iteration}\n${text}\n`);
  }

  #print(): void {
    const total = Object.values(this.#tried).reduce((sum, count) => sum + count, 0);
    const perTarget = Object.entries(this.#tried).map(([name, count]) => `${name} ${count}`);
    const { seed, minutes } = this.#options;
    console.log(
      `fuzz: seed ${seed}, ${minutes} minutes, ${total} inputs (${perTarget.join(', ')}), ${this.findings.length} findings`,
    );
  }
}

/**
 * Writes the input of one iteration to a file, for a person to examine or to keep in fixtures/fuzz.
 */
async function save({ seed, target: wanted, iteration }: Options): Promise<void> {
  const targets = await openTargets();
  const target = targets.find(({ name }) => name === wanted);
  if (target && iteration !== undefined) {
    mkdirSync(FINDINGS, { recursive: true });
    const file = `${FINDINGS}/${target.name}-${seed}-${iteration}`;
    writeFileSync(file, inputOf(target, seed, iteration));
    console.log(`input saved as ${file}`);
  }
  for (const opened of targets) await opened.close?.();
}

const given = process.env['FUZZ_OPTIONS'];
if (given !== undefined) {
  await new Worker(JSON.parse(given) as Options).run();
} else {
  const options = readOptions();
  if (options.iteration !== undefined) await save(options);
  process.exitCode = await new Watch(options).run();
}
