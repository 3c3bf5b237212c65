/** The screen of a real terminal during a session: messages stay whole above the progress area. */
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { sessionMessage } from '../../src/core/messages.ts';
import { addSampleVms, type LabFault, type LabMatch, type LabVm } from '../../lab/src/index.ts';
import { useCliLab } from '../helpers/cli/cliLab.ts';
import { startInTerminal, type Terminal, unfolded } from '../helpers/cli/terminal.ts';
import { noise } from '../helpers/bytes/random.ts';
import { IS_LONG_FORM } from '../helpers/longForm.ts';
import { filesOf, pointsOf } from '../helpers/repository/repositoryFiles.ts';

const MIB = 1024 * 1024;
/** The wider one shows more of what was sent, and that test has both. */
const WIDTHS = IS_LONG_FORM ? [80, 140] : [80];
const STARTING = /^backup: starting$/;
const BAR = /^vm reading [█░]+ /;
const bench = useCliLab();

const LOGIN: LabMatch = { server: 'engine', method: 'POST', path: /oauth\/token/, nth: 1 };
const FINALIZE: LabMatch = { server: 'engine', method: 'POST', path: /\/finalize$/, nth: 1 };
const READ: LabMatch = { server: 'imageio', method: 'GET', path: /\/images\/[^/]+$/, nth: 1 };

function addVm(name: string): LabVm {
  const vm = bench.lab.addVm({ name, disks: [{ name: 'sys', sizeBytes: 4 * MIB }] });
  vm.disk('sys').write(MIB, noise(1, MIB));
  return vm;
}

/** Starts a backup. A request that `held` matches waits for `meanwhile`. */
function start(
  vm: string,
  columns: number,
  held: LabMatch,
  meanwhile: (terminal: Terminal) => Promise<void> | void,
): Terminal {
  return startCommand(bench.backupArgs([vm]), columns, held, meanwhile);
}

function startCommand(
  args: readonly string[],
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
  terminal = startInTerminal(temp.path(), columns, args, bench.env());
  return terminal;
}

function barsOf(terminal: Terminal): string[] {
  return terminal
    .lines()
    .filter((line) => /[█░]|: starting$|^(?!stopping:)\S+ +waiting for /.test(line));
}

describe('a terminal', () => {
  it.each(WIDTHS)('of %d columns shows every message whole', async (columns) => {
    addSampleVms(bench.lab);
    await bench.backup(bench.lab.vm('web01'));

    const terminal = start('web01', columns, LOGIN, (screen) => screen.shows(STARTING));

    expect(await terminal.ended()).toBe(EXIT_CODES.done);
    const { resolution } = sessionMessage('CBT-101');
    const screen = unfolded(terminal.lines());
    const [message, ...others] = screen.filter((line) => line.includes('warn: CBT-101 '));
    expect(message).toMatch(
      /^warn: CBT-101 Disk web01_scratch \(.+\) of web01 is stored as RAW, .+ kept\. /,
    );
    expect(message?.endsWith(resolution)).toBe(true);
    expect(others).toEqual([]);
    expect(terminal.lines().filter((line) => line.length > columns)).toEqual([]);
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
    const lines = unfolded(terminal.lines());
    expect(terminal.lines()).toContainEqual(expect.stringMatching(/^ {2}hint: .+ lost$/));
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

function barLength(line: string): number {
  return line.replaceAll(/[^█░]/g, '').length;
}

/** The lines of both VMs, as soon as one matches. */
async function rows(screen: Terminal, pattern: RegExp): Promise<string[]> {
  await screen.shows(pattern);
  return screen.lines().filter((line) => /^(web01|データ) /.test(line));
}

describe('two VMs at the same time', () => {
  const WAITS = /^(web01 |データ) waiting for the engine to finalize/;

  it.each(WIDTHS)('have a line each with its phase, in %d columns', async (columns) => {
    addVm('web01');
    addVm('データ');
    let reading: string[] = [];
    let finalizing: string[] = [];
    const run = async (): Promise<void> => {
      finalizing = await rows(terminal, WAITS);
    };
    bench.lab.faults.add(FINALIZE, { run });

    const args = bench.backupArgs(['web01', 'データ']);
    const terminal = startCommand(args, columns, READ, async (screen) => {
      reading = await rows(screen, / of 1\.00 MiB/);
    });

    expect(await terminal.ended()).toBe(EXIT_CODES.done);
    expect(reading).toHaveLength(2);
    expect(new Set(reading.map((line) => line.split(' ')[0]))).toEqual(
      new Set(['web01', 'データ']),
    );
    const [bar = ''] = reading.filter((line) => line.includes(' of 1.00 MiB'));
    expect(bar).toMatch(/^(web01 |データ) reading [█░]+ +\d+% \| .+ of 1\.00 MiB/);
    expect(barLength(bar)).toBeGreaterThanOrEqual(columns === 80 ? 10 : 60);
    expect(finalizing).toContainEqual(expect.stringMatching(WAITS));
    expect(barsOf(terminal)).toEqual([]);
  });
});

const BACKUPS: LabMatch = { server: 'engine', method: 'GET', path: /\/backups\/[^/]+$/ };
const START: LabMatch = { server: 'engine', method: 'POST', path: /\/backups(?:$|\?)/, nth: 1 };

describe('a session that waits', () => {
  it.each(WIDTHS)('says that the engine does not answer, in %d columns', async (columns) => {
    addVm('vm');
    const fault = bench.lab.faults.add({ ...BACKUPS }, { status: 503 });

    const terminal = start('vm', columns, LOGIN, () => {});
    await terminal.shows(/^vm waiting: the engine does not answer \(HTTP 503\), \d+ s$/);
    bench.lab.faults.remove(fault);

    expect(await terminal.ended()).toBe(EXIT_CODES.done);
    expect(barsOf(terminal)).toEqual([]);
  });

  it('says so after Ctrl-C too', async () => {
    addVm('vm');
    let fault: LabFault | undefined;

    const terminal = start('vm', 80, READ, async (screen) => {
      await screen.shows(BAR);
      fault = bench.lab.faults.add({ ...BACKUPS }, { status: 503 });
      screen.type('C-c');
      await screen.shows(/^stopping: .* at once$/);
    });
    await terminal.shows(/^vm waiting: the engine does not answer \(HTTP 503\)$/);
    await terminal.shows(/^vm waiting: the engine does not answer \(HTTP 503\), \d+ s$/);
    if (fault) bench.lab.faults.remove(fault);

    expect(await terminal.ended()).toBe(EXIT_CODES.interrupted);
    expect(barsOf(terminal)).toEqual([]);
  });

  it('says that another backup of its VM is in progress', async () => {
    addVm('vm');
    const detail = '[Cannot backup VM. The VM is during a backup operation.]';
    const body = { fault: { reason: 'Operation Failed', detail } };
    bench.lab.faults.add(START, { status: 409, body });

    const terminal = start('vm', 80, LOGIN, () => {});
    await terminal.shows(/^vm waiting: another backup of this VM is in progress, \d+ s$/);
    terminal.type('C-c');

    expect(await terminal.ended()).toBe(EXIT_CODES.interrupted);
  });
});

describe('a restore to the engine', () => {
  it.each([80, 140])('shows what was sent, in %d columns', async (columns) => {
    const vm = addVm('vm');
    vm.disk('sys').write(2 * MIB, noise(2, 2 * MIB));
    await bench.backup(vm);
    let line = '';
    const put: LabMatch = { server: 'imageio', method: 'PUT', path: /\/images\//, nth: 2 };
    const args = bench.vmArgs('restore', 'vm', '--to-engine', '--as-vm', 'new');
    const target = ['--storage-domain', 'data', '--cluster', 'Default', '--connections', '1'];

    const terminal = startCommand([...args, ...target], columns, put, async (screen) => {
      await screen.shows(
        columns === 80
          ? /^new uploading .* 256\.0 KiB of 3\.00 MiB/
          : /^new uploading .* 256\.0 KiB of 3\.00 MiB \| +sent /,
      );
      line = screen.lines().find((text) => text.startsWith('new ')) ?? '';
    });

    expect(await terminal.ended()).toBe(EXIT_CODES.done);
    expect(line).toMatch(/^new uploading [█░]+ {3}8% \| +256\.0 KiB of 3\.00 MiB/);
    if (columns === 140) expect(line).toMatch(/ \| +sent [^|]+\/s($| \| +\d+ s left$)/);
    expect(barLength(line)).toBe(columns === 80 ? 21 : 62);
    expect(barsOf(terminal)).toEqual([]);
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
