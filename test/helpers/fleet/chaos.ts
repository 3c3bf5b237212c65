/**
 * Random deaths in a fleet while a run goes on: of workers and their processes, of the planner, and
 * of the server of the queue. Everything that dies is started again, as systemd does it.
 */
import { writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { readJobFile } from '../../../src/jobs/config/readJobFile.ts';
import { newState, openRunOf } from '../../../src/jobs/state/applyRun.ts';
import { StateFolder } from '../../../src/jobs/state/stateFolder.ts';
import type { Lab } from '../../../lab/src/index.ts';
import type { Random } from '../bytes/random.ts';
import { type CommandTimes, FleetCommand } from './fleetCommand.ts';
import type { RedisServer } from './redisServer.ts';

const JOB = 'nightly';
const POLL_MS = 20;
const LONGEST_OUTAGE_MS = 1500;
const RESTART_MS = 100;

/**
 * The client polls a fast engine, and is as patient as ever. Leases outlive the pauses of a busy
 * machine.
 */
const TIMES: CommandTimes = {
  fleet: {
    reconnectMs: 100,
    outageMs: 500,
    pollMs: 100,
    beatMs: 200,
    leaseMs: 4000,
    graceMs: 1500,
    deliverMs: 5000,
    feedMs: 100,
  },
  engine: { pollMinMs: 50, pollMaxMs: 200, startRetryEveryMs: 500, blockRetryMs: 50 },
  locks: { renewEveryMs: 1500, leaseMs: 6000 },
};

export interface ChaosPlan {
  readonly workers: number;
  readonly workerKills: number;
  /** What happens to the server of the queue. */
  readonly server: readonly ('restart' | 'kill' | 'wipe')[];
  /** Most requests to the lab between two events. */
  readonly mostPause: number;
}

export interface ChaosParts {
  readonly lab: Lab;
  readonly server: RedisServer;
  /** Path of the job file, which has a job `nightly` with a schedule. */
  readonly file: string;
  readonly random: Random;
}

/** Of the planner that ends, and of the run that it has reported. */
const ENDED = /job nightly: (success|warning|failure) after/;

export class ChaosFleet {
  /** What was done, in order. */
  readonly log: string[] = [];
  readonly #parts: ChaosParts;
  readonly #plan: ChaosPlan;
  readonly #workers: FleetCommand[] = [];
  /** Every command that was started. */
  readonly #all: FleetCommand[] = [];
  #planner: FleetCommand | undefined;
  #isStopping = false;

  constructor(parts: ChaosParts, plan: ChaosPlan) {
    this.#parts = parts;
    this.#plan = plan;
  }

  /** Starts the workers, and a daemon that finds the run open and continues it. */
  async start(): Promise<void> {
    await this.#openRun();
    for (let k = 0; k < this.#plan.workers; k++) this.#startWorker(k);
    this.#startPlanner();
  }

  /** Lets everything happen while the run goes on. */
  async rage(): Promise<void> {
    for (const event of this.#events()) {
      await this.#pause();
      if (this.isOver) throw new Error(`the run ended too early: ${this.log.join('; ')}`);
      this.log.push(await event());
      if (process.env['CHAOS_LOG'])
        console.log(
          (performance.now() / 1000) | 0,
          this.log.at(-1),
          this.#parts.lab.requests.length,
        );
    }
  }

  /** True when the planner has told the end of the run. */
  get isOver(): boolean {
    return ENDED.test(this.#planner?.output ?? '');
  }

  /** Waits for the end of the run, and stops the planner. @returns outcome of the run */
  async ended(): Promise<string> {
    while (!this.isOver) await sleep(POLL_MS);
    this.#isStopping = true;
    await this.#planner?.stop();
    return ENDED.exec(this.#planner?.output ?? '')?.[1] ?? '';
  }

  /** A run of the job by a planner and the workers, in which nothing dies. @returns exit code */
  async runAgain(): Promise<number | null> {
    return await this.#command('planner', 'run', JOB).ended;
  }

  /** @returns exit codes of the workers */
  async stopWorkers(): Promise<(number | null)[]> {
    return await Promise.all(this.#workers.map(async (worker) => await worker.stop()));
  }

  /** What all commands have printed. */
  get output(): string {
    return this.#all.map(({ output }) => output).join('\n');
  }

  killAll(): void {
    this.#isStopping = true;
    for (const command of this.#all) command.killAll();
  }

  /** A run that has just begun, as a daemon leaves it that is killed. */
  async #openRun(): Promise<void> {
    const states = await StateFolder.open(await readJobFile(this.#parts.file));
    const startedAt = new Date().toISOString();
    const run = { runId: randomUUID(), startedAt, slot: startedAt, doneVms: [] };
    await states.write(openRunOf(newState(JOB), run));
  }

  #command(machine: string, ...args: readonly string[]): FleetCommand {
    const { file, server } = this.#parts;
    const place = ['--file', file, '--queue', server.url];
    const command = new FleetCommand([...args, ...place], machine, TIMES);
    this.#all.push(command);
    return command;
  }

  #startWorker(k: number): void {
    const worker = this.#command(`machine${k}`, 'worker');
    this.#workers[k] = worker;
    void this.#startAfter(worker, () => this.#startWorker(k));
  }

  #startPlanner(): void {
    const planner = this.#command('planner', 'daemon');
    this.#planner = planner;
    void this.#startAfter(planner, () => this.#startPlanner());
  }

  /** Starts a command again that was killed, or that found no server of the queue. */
  async #startAfter(command: FleetCommand, start: () => void): Promise<void> {
    await command.ended;
    await sleep(RESTART_MS);
    if (!this.#isStopping) start();
  }

  /** All events of the plan, in random order. */
  #events(): (() => Promise<string>)[] {
    const { workerKills, server } = this.#plan;
    const events = [
      ...Array.from({ length: workerKills }, () => async () => await this.#killWorker()),
      ...server.map((how) => async () => await this.#hurtServer(how)),
      async () => await this.#killPlanner(),
    ];
    const { random } = this.#parts;
    return events
      .map((event) => ({ event, rank: random.fraction() }))
      .toSorted((a, b) => a.rank - b.rank)
      .map(({ event }) => event);
  }

  /** Work that sessions do is the clock: a busy machine makes pauses longer. */
  async #pause(): Promise<void> {
    const { lab, random } = this.#parts;
    const end = lab.requests.length + random.below(this.#plan.mostPause);
    while (lab.requests.length < end && !this.isOver) await sleep(POLL_MS);
  }

  async #killWorker(): Promise<string> {
    const { random } = this.#parts;
    const k = random.below(this.#workers.length);
    const worker = this.#workers[k];
    const [how, which] = [random.fraction(), random.fraction()];
    const { children = [] } = worker ?? {};
    const child = children[Math.floor(which * children.length)];
    if (how < 0.25 && child !== undefined) {
      process.kill(child, 'SIGKILL');
      return `process of worker ${k}`;
    }
    const isAlone = how < 0.5;
    if (isAlone) worker?.killAlone();
    else worker?.killAll();
    await worker?.ended;
    return `worker ${k} ${isAlone ? 'alone' : 'with its processes'}`;
  }

  async #killPlanner(): Promise<string> {
    this.#planner?.killAll();
    await this.#planner?.ended;
    return 'planner';
  }

  async #hurtServer(how: ChaosPlan['server'][number]): Promise<string> {
    const { server, random } = this.#parts;
    if (how === 'restart') await server.shutDown();
    else if (how === 'kill') await server.stop();
    else await server.lose();
    await sleep(random.below(LONGEST_OUTAGE_MS));
    await server.start();
    return `server: ${how}`;
  }
}

/** Seed of a test: that of the variable, or a new one, which is printed. */
export function chaosSeed(): number {
  const seed = Number(process.env['CHAOS_SEED'] ?? Date.now() % 1_000_000);
  console.log(`CHAOS_SEED=${seed}`);
  return seed;
}

/** Writes the output of all commands where CHAOS_LOG says. */
export function keepOutput(fleet: ChaosFleet): void {
  const file = process.env['CHAOS_LOG'];
  if (file !== undefined) writeFileSync(file, `${fleet.log.join('\n')}\n${fleet.output}`);
}
