/**
 * The compiled command line against a lab in the test process. After each test, arguments and
 * output are searched for secrets.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect } from 'vitest';
import type { LabOptions, LabRequest } from '../../../lab/src/index.ts';
import type { JobReport } from '../../../src/sessions/backup/backupVms.ts';
import { type CliResult, type RunningCli, runCli, startCli } from './cli.ts';
import { type LabBench, useLab } from '../lab/useLab.ts';
import { type TempFolder, useTempFolder } from '../tempFolder.ts';

export interface CliBench extends LabBench {
  readonly temp: TempFolder;
  /** Files of an administrator. */
  readonly caFile: string;
  readonly passwordFile: string;
  /** Connection settings for the environment. */
  env(): Record<string, string>;
  /** Starts a command with settings from the environment. */
  start(args: readonly string[], env?: NodeJS.ProcessEnv): RunningCli;
  run(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<CliResult>;
  /** Arguments of `backup` of these VMs, on the main thread. */
  backupArgs(vms: readonly string[], ...more: readonly string[]): string[];
  /** A command with `--vm` and `--repo`. */
  vmArgs(command: string, vm: string, ...more: readonly string[]): string[];
}

interface Started {
  readonly commandLine: string;
  readonly ended: Promise<CliResult>;
  readonly kill?: () => void;
}

/** The command line of a process, as `ps` shows it. */
function commandLineOf(running: RunningCli): string {
  return readFileSync(`/proc/${running.child.pid}/cmdline`, 'utf8');
}

async function expectNoSecrets(
  secrets: readonly string[],
  started: readonly Started[],
): Promise<void> {
  for (const { commandLine, ended, kill } of started) {
    // A test that failed may have left it running.
    kill?.();
    const { stdout, stderr } = await ended;
    const shown = secrets.filter((secret) => `${commandLine}${stdout}${stderr}`.includes(secret));
    expect(shown).toEqual([]);
  }
}

/**
 * The command line waits as long as with a real engine. Idle transfers and tickets of the lab must
 * outlive its pauses, also on a busy machine.
 */
const TIME_SCALE = 0.05;
/**
 * For sessions in this process that prepare a test: long deadlines, since the machine may be busy.
 */
const PATIENT = {
  connectMs: 30_000,
  restReadMs: 60_000,
  imageioReadMs: 60_000,
  transferReadyMs: 60_000,
  backupReadyMs: 60_000,
  cleanupMs: 60_000,
};

/** Gives each test a lab, files with its password and CA, and the command line. */
export function useCliLab(options: LabOptions = {}): CliBench {
  const bench = useLab({ timeScale: TIME_SCALE, ...options });
  const temp = useTempFolder();
  let started: Started[] = [];

  beforeEach(() => {
    started = [];
    writeFileSync(temp.path('ca.pem'), bench.lab.caPem);
    writeFileSync(temp.path('password'), `${bench.lab.password}\n`, { mode: 0o600 });
  });
  afterEach(async () => {
    await expectNoSecrets(bench.lab.secrets(), started);
  });

  const own: Omit<CliBench, Exclude<keyof LabBench, 'backup' | 'restore'>> = {
    temp,
    backup: async (vm, given) =>
      await bench.backup(vm, { engine: bench.settings(PATIENT), ...given }),
    restore: async (vm, given) =>
      await bench.restore(vm, { engine: bench.settings(PATIENT), ...given }),
    get caFile() {
      return temp.path('ca.pem');
    },
    get passwordFile() {
      return temp.path('password');
    },
    env: () => ({
      OVIRT_URL: bench.lab.url,
      OVIRT_USERNAME: bench.lab.username,
      OVIRT_PASSWORD_FILE: temp.path('password'),
      OVIRT_CAFILE: temp.path('ca.pem'),
    }),
    start(args, env = own.env()) {
      const running = startCli(args, env);
      const { child, ended } = running;
      started.push({
        commandLine: commandLineOf(running),
        ended,
        kill: () => child.kill('SIGKILL'),
      });
      return running;
    },
    async run(args, env = own.env()) {
      const ended = runCli(args, env);
      started.push({ commandLine: args.join(' '), ended });
      return await ended;
    },
    backupArgs: (vms, ...more) =>
      ['backup', '--repo', bench.repository, '--workers', '0', ...more].concat(
        vms.flatMap((vm) => ['--vm', vm]),
      ),
    vmArgs: (command, vm, ...more) => [command, '--vm', vm, '--repo', bench.repository, ...more],
  };
  return Object.defineProperties(
    {},
    { ...Object.getOwnPropertyDescriptors(bench), ...Object.getOwnPropertyDescriptors(own) },
  ) as CliBench;
}

export function jobOf(result: CliResult): JobReport {
  return JSON.parse(result.stdout) as JobReport;
}

/** Every first session and preflight says that there was no repository before. */
const OF_NEW_REPOSITORY = new Set(['REPO-530', 'REPO-531']);

/**
 * Codes of the session messages on stderr, which are lines of text or of JSON, without those about
 * a new repository.
 */
export function messageCodesOf(result: CliResult): string[] {
  return result.stderr
    .split('\n')
    .map((line) => /^(?:info|warn|error): ([A-Z]+-\d+) /.exec(line)?.[1] ?? jsonCode(line))
    .filter((code) => code !== undefined)
    .filter((code) => !OF_NEW_REPOSITORY.has(code));
}

function jsonCode(line: string): string | undefined {
  if (!line.startsWith('{')) return undefined;
  const { type, code } = JSON.parse(line) as { readonly type: string; readonly code: string };
  return type === 'session_message' ? code : undefined;
}

/** Requests to the engine that change something, except logins and logouts. */
export function changesOf(requests: readonly LabRequest[]): string[] {
  return requests
    .filter(({ server, method, path }) => server === 'engine' && method !== 'GET' && !isLogin(path))
    .map(({ method, path }) => `${method} ${path}`);
}

export function loginsOf(requests: readonly LabRequest[]): LabRequest[] {
  return requests.filter(({ path }) => path.includes('/sso/oauth/token'));
}

function isLogin(path: string): boolean {
  return path.includes('/sso/oauth/token') || path.includes('/services/sso-logout');
}
