/** Tables on the screen of a real terminal: nothing wraps, and only names are cut. */
import { describe, expect, it } from 'vitest';
import type { LabVm } from '../../lab/src/index.ts';
import { widthOf } from '../../src/cli/output/text.ts';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { noise } from '../helpers/bytes/random.ts';
import { expectFailure } from '../helpers/cli/cli.ts';
import { useCliLab } from '../helpers/cli/cliLab.ts';
import { startInTerminal, type Terminal, unfolded } from '../helpers/cli/terminal.ts';

const MIB = 1024 * 1024;
const bench = useCliLab();

/** A disk name of 60 columns, which a table of 80 columns has to cut. */
const WIDE_NAME = '\u65E5\u672C\u8A9E'.repeat(10);

function addVm(): LabVm {
  const disks = [
    { name: 'sys', sizeBytes: 4 * MIB },
    { name: WIDE_NAME, sizeBytes: 2 * MIB },
  ];
  const vm = bench.lab.addVm({ name: 'web', disks });
  vm.disk('sys').write(MIB, noise(1, MIB));
  return vm;
}

function start(columns: number, args: readonly string[]): Terminal {
  return startInTerminal(bench.temp.path(), columns, args, { ...bench.env(), TERM: 'tmux' });
}

/**
 * The lines of stdout on the screen; ids, times and sizes are replaced. Lines that the terminal
 * wrapped are joined, so one of them would be wider than the screen.
 */
async function screenOf(columns: number, ...args: readonly string[]): Promise<string[]> {
  const terminal = start(columns, args);
  const exitCode = await terminal.ended();
  const screen = terminal.lines();
  expect(screen.filter((line) => widthOf(line) > columns)).toEqual([]);
  const lines = unfolded(screen).filter(
    (line) => line !== '' && !/^(?:pid|warn:|info:|exit) ?/.test(line),
  );
  expect([EXIT_CODES.done, EXIT_CODES.doneWithProblems]).toContain(exitCode);
  return lines.map((line) =>
    line
      .replaceAll(/[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/g, 'ID')
      .replaceAll(/\b[\da-f]{8}\b/g, 'SHORT')
      .replaceAll(/\bD[\d-]+T\d+_[\dA-F]{4}\b/g, 'DATE')
      .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d [+-]\d\d:\d\d/g, 'TIME')
      .replaceAll(/\d[\d.]* (?:B|KiB|MiB|ms|s|min)\b(?: \d\d s)?/g, '#')
      .replaceAll(/ {2,}/g, '  '),
  );
}

const LIST = [
  'web (ID)',
  'no.  type  created  id  file size  verified',
  '  1  full  TIME  SHORT  #  -',
  '  2  increment  TIME  SHORT  #  -',
];
const PRUNE = [
  'web (ID)',
  'no.  type  created  id  file size  would be',
  '  1  full  TIME  SHORT  #  merged into no. 2',
  '  2  increment  TIME  SHORT  #  kept: last',
  'would delete #, write about #, free about #',
];
const FACTS = [
  'engine  frozen after #, ended after #',
  'checkpoint  none -> ID',
  'file  web.DATE.vbk (#)',
  'duration  #, of it # outside the pipelines (commit #)',
];
/** Wide characters of the name that the screen shows, in `list --vm`, preflight and session. */
const SHORT_NAMES = [20, 19, 11].map((count) => `${WIDE_NAME.slice(0, count)}\u2026`);
const [LISTED, PREFLIGHTED, STORED] = SHORT_NAMES;

const SCREENS = {
  80: {
    disks: [
      'no.  disk  mode  size  stored',
      '  1  sys  full  #  #',
      `  1  ${LISTED}  full  #  #`,
      '  2  sys  incremental  #  #',
      `  2  ${LISTED}  incremental  #  #`,
    ],
    preflight: [
      'disk  format  size  next session  tracked',
      'sys  cow  #  incremental  yes',
      '  reason: changes since restore point 2',
      `${PREFLIGHTED}  cow  #  incremental  yes`,
      '  reason: changes since restore point 2',
    ],
    session: [
      'disk  mode  size  read  zero  changed  stored',
      'sys  full  #  #  #  #  #',
      '  reason: first restore point',
      `${STORED}  full  #  #  #  #  #`,
      '  reason: first restore point',
    ],
    summary: [
      'vm  result  mode  read  stored  duration',
      'db  warning  full  #  #  #',
      '  worst message: JOB-601 Disk lun of db is left out: a direct LUN, which the',
      '  backup API cannot read.',
      'none  failed  -  -  -  -',
      '  worst message: USAGE_NOT_FOUND the engine knows no VM "none"',
      'web  ok  incremental  #  #  #',
    ],
  },
  140: {
    disks: [
      'no.  disk  mode  size  stored  disk id',
      '  1  sys  full  #  #  ID',
      `  1  ${WIDE_NAME}  full  #  #  ID`,
      '  2  sys  incremental  #  #  ID',
      `  2  ${WIDE_NAME}  incremental  #  #  ID`,
    ],
    preflight: [
      'disk  format  size  next session  tracked  reason',
      'sys  cow  #  incremental  yes  changes since restore point 2',
      `${WIDE_NAME}  cow  #  incremental  yes  changes since restore point 2`,
    ],
    session: [
      'disk  mode  size  read  zero  changed  stored  ratio  rate (read)  reason',
      'sys  full  #  #  #  #  #  1.00x  #/s  first restore point',
      expect.stringMatching(
        /^(?:\p{Script=Han}){10,}\u2026  full .* first restore point$/u,
      ) as string,
    ],
    summary: [
      'vm  result  mode  read  stored  duration  worst message',
      'db  warning  full  #  #  #  JOB-601 Disk lun of db is left out: a direct LUN, which the backup API cannot read.',
      'none  failed  -  -  -  -  USAGE_NOT_FOUND the engine knows no VM "none"',
      'web  ok  incremental  #  #  #',
    ],
  },
} as const;

describe.each([80, 140] as const)('a terminal of %d columns', (columns) => {
  const expected = SCREENS[columns];

  it('shows list, list --vm, prune and preflight', async () => {
    const vm = addVm();
    await bench.backup(vm);
    await bench.backup(vm);
    const repo = ['--repo', bench.repository];
    const pruneArgs = ['prune', ...repo, '--keep-last', '1', '--dry-run'];

    expect(await screenOf(columns, 'list', ...repo)).toEqual(LIST);
    const disks = await screenOf(columns, 'list', ...repo, '--vm', 'web');
    expect(disks).toEqual([...LIST, ...expected.disks]);
    expect(await screenOf(columns, ...pruneArgs)).toEqual(PRUNE);
    const [title, ...preflight] = await screenOf(columns, 'preflight', ...repo, '--vm', 'web');
    expect(title).toMatch(/^web \(ID\) is up; engine /);
    expect(preflight).toEqual([...expected.preflight, 'a session can start']);
  });

  it('shows a session, and a summary of several', async () => {
    addVm();
    const lun = { name: 'lun', sizeBytes: MIB, format: 'raw', storageType: 'lun' } as const;
    bench.lab.addVm({ name: 'db', disks: [{ name: 'redo', sizeBytes: MIB }, lun] });

    const session = await screenOf(columns, ...bench.backupArgs(['web']));
    const job = await screenOf(columns, ...bench.backupArgs(['web', 'db', 'none']));

    // The bottleneck depends on the speed of the machine.
    const table = session.slice(
      0,
      session.findIndex((line) => line.startsWith('bottleneck')),
    );
    expect(table).toEqual(['web: restore point 1 (full) SHORT', ...expected.session, ...FACTS]);
    expect(session.at(-1)).toBe('messages  none');
    const summary = job.slice(job.findIndex((line) => line.startsWith('3 VMs')));
    expect(summary).toEqual(['3 VMs: 1 ok, 1 warning, 1 failed', ...expected.summary]);
  });
});

describe('colours', () => {
  const DAMAGED = '\u001B[31m';

  it.each([
    ['are shown by a terminal', {}, true],
    ['are not shown with NO_COLOR', { NO_COLOR: '1' }, false],
  ])('%s', async (_title, env, isColoured) => {
    await bench.backup(addVm());
    const args = ['list', '--repo', bench.repository];
    const terminal = startInTerminal(bench.temp.path(), 80, args, { TERM: 'tmux', ...env });
    await terminal.ended();

    const header = terminal.styledText().includes('\u001B[1mno.');

    expect(header).toBe(isColoured);
  });

  it('are forced by FORCE_COLOR, but not into JSON', async () => {
    const args = ['list', '--repo', bench.temp.path('none')];
    const forced = { FORCE_COLOR: '1', TERM: 'tmux', NO_COLOR: '' };

    const text = await bench.run(args, forced);
    const json = await bench.run([...args, '--json'], forced);

    expect(text.stderr).toContain(`${DAMAGED}error:`);
    expect(json.stderr).not.toContain('\u001B');
  });
});

describe('without a terminal', () => {
  it('every line of stderr begins with date and time, and tables have all columns', async () => {
    bench.lab.addVm({ name: 'web', disks: [{ name: 'raw', sizeBytes: MIB, format: 'raw' }] });
    await bench.run(bench.backupArgs(['web']));
    const { child, ended } = bench.start(bench.backupArgs(['web', 'none']));
    let stderr = '';
    child.stderr?.on('data', (text: string) => (stderr += text));

    const { stdout } = await ended;

    expect(stderr).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d\d:\d\d warn: CBT-101 /m);
    const untimed = stderr.split('\n').filter((line) => line && !/^\d{4}-\d\d-\d\d /.test(line));
    expect(untimed).toEqual([]);
    expect(stdout).toMatch(/ rate \(read\) +reason\n/);
    expect(stdout).toMatch(/^seconds +extents +read /m);
  });

  it('list names a VM that is not in the repository', async () => {
    await bench.backup(addVm());

    const result = await bench.run(['list', '--repo', bench.repository, '--vm', 'nobody']);

    expectFailure(result, 'USAGE_NOT_FOUND', EXIT_CODES.usage);
  });
});
