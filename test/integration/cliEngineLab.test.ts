/** `lab` as a program: the simulated engine for trying out the other commands. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import type { JobReport } from '../../src/sessions/backup/backupVms.ts';
import type { SessionReport } from '../../src/sessions/shared/report.ts';
import { expectFailure, type RunningCli, runCli, startCli } from '../helpers/cli/cli.ts';
import { modeOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const started: RunningCli[] = [];

afterEach(async () => {
  for (const { child, ended } of started.splice(0)) {
    child.kill('SIGKILL');
    await ended;
  }
});

interface RunningLab extends RunningCli {
  /** Its output so far. */
  readonly text: string;
  /** Its `export` lines. */
  readonly env: Readonly<Record<string, string>>;
}

/** Starts a lab with its own folder for temporary files, and waits for its whole output. */
async function startLabCommand(...more: readonly string[]): Promise<RunningLab> {
  const running = startCli(['lab', ...more], { TMPDIR: temp.make('tmp') });
  started.push(running);
  let text = '';
  while (!text.includes('Ctrl-C')) {
    const [piece] = (await once(running.child.stdout ?? running.child, 'data')) as [string];
    text += piece;
  }
  const exports = [...text.matchAll(/^export (\w+)=(.+)$/gm)];
  return { ...running, text, env: Object.fromEntries(exports.map(([, name, to]) => [name, to])) };
}

describe('lab', () => {
  it('prints settings for the environment, and the password only as a private file', async () => {
    const { child, ended, text, env } = await startLabCommand();
    const file = env['OVIRT_PASSWORD_FILE'] ?? '';
    const password = readFileSync(file, 'utf8');

    expect(Object.keys(env).toSorted()).toEqual([
      'OVIRT_CAFILE',
      'OVIRT_PASSWORD_FILE',
      'OVIRT_URL',
      'OVIRT_USERNAME',
    ]);
    expect([modeOf(path.dirname(file)), modeOf(file)]).toEqual(['700', '600']);
    expect(text).toMatch(/^# VMs: web01, db01, files01, old01/m);
    child.kill('SIGINT');
    const { stdout, stderr } = await ended;
    expect(stderr).toBe('stopping the lab\n');
    expect(password.length).toBeGreaterThan(8);
    expect(`${stdout}${stderr}`.includes(password)).toBe(false);
  });

  it('is an engine that VMs can be backed up from', async () => {
    const { env } = await startLabCommand();
    const repository = temp.path('repository');

    const args = ['backup', '--vm', 'old01', '--repo', repository, '--workers', '0'];
    const { exitCode, stdout } = await runCli(args, { ...env });

    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^old01: restore point 1 \(full\)/);
  });

  it('has guests that write, and VMs with the same ids after a restart', async () => {
    const repository = temp.path('repository');
    const args = ['backup', '--vm', 'web01', '--repo', repository, '--workers', '0', '--json'];
    const reportWith = async (lab: RunningLab): Promise<SessionReport> => {
      const { stdout } = await runCli(args, { ...lab.env });
      return (JSON.parse(stdout) as JobReport).sessions[0] as SessionReport;
    };
    const lab = await startLabCommand();
    const first = await reportWith(lab);
    const second = await reportWith(lab);
    lab.child.kill('SIGINT');
    await lab.ended;

    const third = await reportWith(await startLabCommand());

    expect(second.disks.map(({ mode }) => mode)).toEqual(['incremental', 'incremental', 'compare']);
    expect(second.disks.filter(({ changedBytes }) => changedBytes === 0)).toEqual([]);
    expect(third.vmId).toBe(first.vmId);
    expect(third).toMatchObject({ pointNumber: 3, pointType: 'increment' });
    expect(third.messages.map(({ code }) => code)).not.toContain('JOB-603');
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('ends with %s and removes its folder', async (signal) => {
    const { child, ended, env } = await startLabCommand();
    expect(existsSync(env['OVIRT_CAFILE'] ?? '')).toBe(true);

    child.kill(signal);
    const { exitCode } = await ended;

    expect(exitCode).toBe(EXIT_CODES.done);
    expect(readdirSync(temp.path('tmp'))).toEqual([]);
  });

  it('refuses a port that is taken, and leaves no folder', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? String(address?.port) : '';

    const result = await runCli(['lab', '--port', port], { TMPDIR: temp.make('tmp') });

    server.close();
    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(result.stderr).toContain(`port ${port} is used by another program`);
    expect(readdirSync(temp.path('tmp'))).toEqual([]);
  });

  it('refuses a port that does not exist', async () => {
    const result = await runCli(['lab', '--port', '70000']);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(result.stderr).toContain('port 70000 does not exist');
  });
});
