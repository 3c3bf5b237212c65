/** Hooks and commands of receivers: programs without a shell. */
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type ProgramOptions, type ProgramResult, runProgram } from '../../../src/jobs/program.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const folder = useTempFolder();
const LONG_MS = 60_000;

async function run(
  command: readonly string[],
  more: Partial<ProgramOptions> = {},
): Promise<ProgramResult> {
  return await runProgram({
    command,
    timeoutMs: LONG_MS,
    environment: {},
    signal: undefined,
    ...more,
  });
}

/** True while a process with this number exists and is no zombie. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}

afterEach(() => vi.unstubAllEnvs());

describe('a program', () => {
  it('gets its arguments as they are', async () => {
    const result = await run(['printf', '%s|', '$HOME; id', '*', '']);

    expect(result).toMatchObject({ exitCode: 0, timedOut: false, output: '$HOME; id|*||' });
  });

  it('gets its input and its variables', async () => {
    const script = 'cat; printf " %s" "$OVIRT_CBT_JOB"';

    const result = await run(['sh', '-c', script], {
      stdin: 'input',
      environment: { OVIRT_CBT_JOB: 'nightly' },
    });

    expect(result.output).toBe('input nightly');
  });

  it('gets no other variable of this process, which may be a secret', async () => {
    vi.stubEnv('OVIRT_PASSWORD', 'geheim');
    vi.stubEnv('LC_TIME', 'C');

    const { output } = await run(['env'], { environment: { OWN: 'x' } });

    const names = output.split('\n').map((line) => line.split('=')[0]);
    expect(names).toEqual(expect.arrayContaining(['PATH', 'LC_TIME', 'OWN']));
    expect(output).not.toContain('geheim');
  });

  it('need not read its input', async () => {
    expect(await run(['true'], { stdin: 'x'.repeat(1 << 20) })).toMatchObject({ exitCode: 0 });
  });

  it.each([0, 3, 255])('gives its exit code %d', async (code) => {
    expect((await run(['sh', '-c', `exit ${code}`])).exitCode).toBe(code);
  });

  it('that does not exist is a result', async () => {
    expect(await run([folder.path('missing')])).toMatchObject({
      exitCode: undefined,
      startError: 'ENOENT',
    });
  });

  it.each([
    ['ENOTDIR', ['/etc/passwd/program'], {}],
    ['E2BIG', ['true'], { LONG: 'x'.repeat(1 << 20) }],
  ])('that the system refuses with %s is a result', async (startError, command, environment) => {
    expect(await run(command, { environment })).toMatchObject({ exitCode: undefined, startError });
  });

  it('that is killed has no exit code', async () => {
    expect(await run(['sh', '-c', 'kill -9 $$'])).toMatchObject({
      exitCode: undefined,
      startError: undefined,
      timedOut: false,
    });
  });

  it('leaves the last 16 KiB of its output', async () => {
    const { output } = await run(['sh', '-c', 'seq 100000; echo "the end" >&2']);

    expect(output.length).toBeLessThanOrEqual(16 * 1024);
    expect(output).toContain('the end');
    expect(output).toContain('100000');
  });

  it('is ended at the time-out, with all that it started', async () => {
    const file = folder.path('pid');
    const script = `sleep 1000 & echo $! > ${file}; wait`;

    const result = await run(['sh', '-c', script], { timeoutMs: 200 });

    expect(result).toMatchObject({ exitCode: undefined, timedOut: true });
    const pid = Number(readFileSync(file, 'utf8'));
    await waitFor(() => !isAlive(pid));
  });

  it('is ended with a process that ignores SIGTERM', async () => {
    const file = folder.path('pid');
    const script = `(trap "" TERM; while true; do sleep 0.05; done) & echo $! > ${file}; wait`;

    await run(['sh', '-c', script], { timeoutMs: 200 });

    const pid = Number(readFileSync(file, 'utf8'));
    await waitFor(() => !isAlive(pid));
  });

  it('that ignores SIGTERM is killed', async () => {
    const script = 'trap "" TERM; while true; do sleep 0.05; done';

    expect(await run(['sh', '-c', script], { timeoutMs: 100 })).toMatchObject({
      exitCode: undefined,
      timedOut: true,
    });
  });

  it('may leave a process that holds the outputs open', async () => {
    const file = folder.path('pid');
    const script = `setsid sleep 1000 & echo $! > ${file}; echo done; exit 4`;

    const result = await run(['sh', '-c', script]);

    const pid = Number(readFileSync(file, 'utf8'));
    expect(isAlive(pid)).toBe(true);
    process.kill(pid);
    expect(result).toMatchObject({ exitCode: 4, timedOut: false, output: 'done\n' });
  });

  it('is ended when the run is stopped', async () => {
    const stop = new AbortController();
    const file = folder.path('started');
    const running = run(['sh', '-c', `touch ${file}; exec sleep 1000`], { signal: stop.signal });
    await waitFor(() => existsSync(file));

    stop.abort();

    expect(await running).toMatchObject({ exitCode: undefined, timedOut: false });
  });

  it('that this user may not end is left alone', async () => {
    const file = folder.path('pid');
    const kill = vi.spyOn(process, 'kill').mockImplementation(() => {
      throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' });
    });
    const script = `echo $$ > ${file}; exec sleep 1000`;

    const result = await run(['sh', '-c', script], { timeoutMs: 200 }).finally(() =>
      kill.mockRestore(),
    );

    expect(result).toMatchObject({ exitCode: undefined, timedOut: true, startError: undefined });
    const pid = Number(readFileSync(file, 'utf8'));
    expect(isAlive(pid)).toBe(true);
    process.kill(pid);
  });

  it('does not outlive a signal that came before', async () => {
    expect(await run(['sleep', '1000'], { signal: AbortSignal.abort() })).toMatchObject({
      exitCode: undefined,
      timedOut: false,
    });
  });
});
