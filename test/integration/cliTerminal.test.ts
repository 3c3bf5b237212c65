/** The screen of a real terminal during a session: messages stay whole above the progress line. */
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { sessionMessage } from '../../src/core/messages.ts';
import { addSampleVms, type LabMatch } from '../../lab/src/index.ts';
import { useCliLab } from '../helpers/cli/cliLab.ts';
import { startInTerminal, type Terminal } from '../helpers/cli/terminal.ts';
import { noise } from '../helpers/bytes/random.ts';
import { filesOf, pointsOf } from '../helpers/repository/repositoryFiles.ts';

const MIB = 1024 * 1024;
const BAR = /^backup .*%/;
const bench = useCliLab();

const LOGIN: LabMatch = { server: 'engine', method: 'POST', path: /oauth\/token/, nth: 1 };
const READ: LabMatch = { server: 'imageio', method: 'GET', path: /\/images\/[^/]+$/, nth: 1 };

function addVm(name: string): void {
  const vm = bench.lab.addVm({ name, disks: [{ name: 'sys', sizeBytes: 4 * MIB }] });
  vm.disk('sys').write(MIB, noise(1, MIB));
}

/** Starts a backup. A request that `held` matches waits for `meanwhile`. */
function start(
  vm: string,
  columns: number,
  held: LabMatch,
  meanwhile: (terminal: Terminal) => Promise<void> | void,
): Terminal {
  let terminal: Terminal | undefined;
  const run = async (): Promise<void> => {
    if (terminal) await meanwhile(terminal);
  };
  bench.lab.faults.add(held, { run });
  const { temp, lab } = bench;
  expect(bench.env()['OVIRT_URL']).toBe(lab.url);
  terminal = startInTerminal(temp.path(), columns, bench.backupArgs([vm]), bench.env());
  return terminal;
}

function barsOf(terminal: Terminal): string[] {
  return terminal.lines().filter((line) => line.includes(' left') && line.includes('%'));
}

describe('a terminal', () => {
  it.each([80, 140])('of %d columns shows every message whole', async (columns) => {
    addSampleVms(bench.lab);
    await bench.backup(bench.lab.vm('web01'));

    const terminal = start('web01', columns, LOGIN, (screen) => screen.shows(BAR));

    expect(await terminal.ended()).toBe(EXIT_CODES.done);
    const { resolution } = sessionMessage('CBT-101');
    const [message, ...others] = terminal.lines().filter((line) => line.includes('warn: CBT-101 '));
    expect(message).toMatch(
      /^warn: CBT-101 Disk web01_scratch \(.+\) is stored as RAW, .+ kept\. /,
    );
    expect(message?.endsWith(resolution)).toBe(true);
    expect(others).toEqual([]);
    expect(barsOf(terminal)).toEqual([]);
  });

  it('shows the answer to Ctrl-C and the error whole', async () => {
    addVm('vm');

    const terminal = start('vm', 80, READ, async (screen) => {
      await screen.shows(BAR);
      screen.type('C-c');
      await screen.shows(/^stopping: .* at once$/);
    });

    expect(await terminal.ended()).toBe(EXIT_CODES.interrupted);
    const lines = terminal.lines();
    expect(lines).toContainEqual(
      expect.stringMatching(/^stopping: waiting for open reads .*once$/),
    );
    expect(lines).toContainEqual(expect.stringMatching(/^error: .+ \(CANCELLED\) hint: .+ lost$/));
    expect(barsOf(terminal)).toEqual([]);
  });

  it('that is stopped by Ctrl-S does not stop the session', async () => {
    addVm('vm');

    const terminal = start('vm', 80, READ, async (screen) => {
      await screen.shows(BAR);
      screen.type('C-s');
    });
    await expect.poll(() => pointsOf(bench.repository).length, { timeout: 60_000 }).toBe(1);
    await expect.poll(() => bench.lab.leftovers(), { timeout: 60_000 }).toEqual([]);

    terminal.type('C-q');
    expect(await terminal.ended()).toBe(EXIT_CODES.done);
  });

  it('that is closed stops the session in order', async () => {
    addVm('vm');
    let pid = 0;

    const terminal = start('vm', 80, READ, async (screen) => {
      await screen.shows(BAR);
      pid = screen.pid();
      screen.close();
    });

    await expect.poll(() => pid, { timeout: 60_000 }).toBeGreaterThan(0);
    await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: 60_000 }).toBe(false);
    expect(bench.lab.leftovers()).toEqual([]);
    expect(filesOf(bench.repository, '.partial')).toEqual([]);
    expect(pointsOf(bench.repository)).toEqual([]);
    expect(terminal).toBeDefined();
  });
});

describe('the settings of a terminal', () => {
  it.each(['SIGTERM', 'SIGKILL'] as const)('are as before after %s', async (signal) => {
    bench.allowLeftovers();
    addVm('vm');
    const terminal = start('vm', 80, READ, async (screen) => {
      await screen.shows(BAR);
      process.kill(screen.pid(), signal);
    });

    expect(await terminal.ended()).toBe(signal === 'SIGTERM' ? EXIT_CODES.terminated : 137);

    expect(terminal.settings()).toEqual({ isWrapOn: true, isCursorOn: true });
  });
});
