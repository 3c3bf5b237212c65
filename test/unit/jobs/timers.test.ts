/** systemd units of jobs: their times, their secrets, their limits, and files in a folder. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it, type TestContext } from 'vitest';
import { parseJobFile } from '../../../src/jobs/config/readJobFile.ts';
import { nextSlot } from '../../../src/jobs/schedule/schedule.ts';
import type { JobFile } from '../../../src/jobs/jobFile.ts';
import { calendarEvents } from '../../../src/jobs/timers/calendar.ts';
import { installUnits, leftUnits, unitFolder } from '../../../src/jobs/timers/installUnits.ts';
import { argument, quoted } from '../../../src/jobs/timers/unitText.ts';
import { daemonUnit, jobUnits, type Unit, writtenFolders } from '../../../src/jobs/timers/units.ts';
import { expectCode } from '../../helpers/codes.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();
const OPTIONS = { program: [process.execPath, '/opt/ovirt-cbt/launch.cjs'], isOfUser: false };

const TEXT = `engines:
  prod: { url: https://engine/ovirt-engine, username: a@b, passwordFile: pw }
  other: { url: https://other/ovirt-engine, username: a@b, passwordFile: other.pw }
repositories:
  main: { path: repo, keyFile: main.key }
  away: { url: s3://bucket/ovirt, keyFile: away.key, cache: /var/cache/ovirt-cbt }
jobs:
  nightly:
    engine: prod
    repository: main
    copyTo: away
    vms: { all: true }
    schedule: '0 1 * * mon-fri'
    timezone: Europe/Berlin
    window: { until: '06:00' }
    notify: [ops]
  weekly:
    engine: other
    repository: main
    vms: { all: true }
    schedule: '0 3 1 * sun'
  by-hand: { engine: prod, repository: main, vms: { all: true } }
notify:
  ops:
    mail: { host: m, from: a@b, to: c@d, username: u, passwordFile: mail.pw }
    webhook: { url: https://h/x, secretFile: hook.key }
metrics: { textfile: /var/lib/metrics/ovirt-cbt.prom }
`;

function fileIn(folder: string): JobFile {
  return parseJobFile(TEXT, path.join(folder, 'jobs.yaml')).file;
}

function unitsOf(file: JobFile): Unit[] {
  return [...file.jobs.values()].flatMap((job) => jobUnits(file, job, OPTIONS));
}

function textOf(units: readonly Unit[], name: string): string {
  return units.find((unit) => unit.name === name)?.text ?? '';
}

/** Values of a key of a unit. */
function valuesOf(text: string, key: string): string[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${key}=`))
    .map((line) => line.slice(key.length + 1));
}

/** Output of systemd-analyze, which must find nothing to warn of. */
function analyze(context: TestContext, ...args: readonly string[]): string {
  try {
    return execFileSync('systemd-analyze', args, {
      encoding: 'utf8',
      env: { ...process.env, TZ: 'UTC' },
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return context.skip('the program systemd-analyze is not installed');
  }
}

describe('calendar events', () => {
  it.each([
    ['0 1 * * *', undefined, ['*-*-* 01:00:00']],
    ['0 1 * * *', 'Europe/Berlin', ['*-*-* 01:00:00 Europe/Berlin']],
    ['*/15 8-10 * * mon-fri', undefined, ['Mon,Tue,Wed,Thu,Fri *-*-* 08,09,10:00,15,30,45:00']],
    ['30 2 1 jan,7 *', undefined, ['*-01,07-01 02:30:00']],
    ['0 1 13 * 5', undefined, ['*-*-13 01:00:00', 'Fri *-*-* 01:00:00']],
    ['0 1 * * 0', undefined, ['Sun *-*-* 01:00:00']],
    ['0 1 * * 7', undefined, ['Sun *-*-* 01:00:00']],
    ['* * * * *', undefined, ['*-*-* *:*:00']],
  ])('of "%s" in %s are %j', (schedule, timezone, events) => {
    expect(calendarEvents(schedule, timezone)).toEqual(events);
  });

  it.for([
    ['0 1 * * *', 'Europe/Berlin'],
    ['*/20 22,23 * * sat', 'America/New_York'],
    ['0 4 31 * *', 'UTC'],
    ['15 6 1-7 * mon', 'Asia/Kolkata'],
    ['0 0 29 2 *', 'UTC'],
    ['5 */6 * jan-mar 1-5', 'Australia/Sydney'],
    ['0 12 */10 * 3', 'UTC'],
  ])('of "%s" in %s come when the schedule does', ([schedule = '', timezone = ''], context) => {
    const start = Date.UTC(2026, 0, 1);
    const base = '2026-01-01 00:00:00';
    const args = ['calendar', '--iterations=8', `--base-time=${base}`];
    const shown = calendarEvents(schedule, timezone)
      .map((event) => analyze(context, ...args, event))
      .join('\n');
    const times = [...shown.matchAll(/(?:elapse|#\d+): \w+ ([\d-]+ [\d:]+) UTC/g)]
      .map((match) => Date.parse(`${match[1]?.replace(' ', 'T')}Z`))
      .toSorted((a, b) => a - b);
    const wanted: number[] = [];
    let slot = nextSlot({ schedule, timezone, windowUntil: undefined }, start);
    while (slot && wanted.length < 6) {
      wanted.push(slot.getTime());
      slot = nextSlot({ schedule, timezone, windowUntil: undefined }, slot.getTime());
    }

    expect([...new Set(times)].filter((time) => time > start).slice(0, 6)).toEqual(wanted);
  });
});

describe('values of units', () => {
  it.each([
    ['/backup', '/backup'],
    ['/back up', '"/back up"'],
    ['/100%', '/100%%'],
    ['/a"b\\c', String.raw`"/a\"b\\c"`],
  ])('%s is written as %s', (text, written) => {
    expect(quoted(text)).toBe(written);
  });

  it('keep a dollar sign in a command', () => {
    expect(argument('/a$b')).toBe('"/a$$b"');
  });
});

describe('units of a job', () => {
  it('are a service and a timer for each job with a schedule', () => {
    expect(unitsOf(fileIn('/etc/x')).map(({ name }) => name)).toEqual([
      'ovirt-cbt-nightly.service',
      'ovirt-cbt-nightly.timer',
      'ovirt-cbt-weekly.service',
      'ovirt-cbt-weekly.timer',
    ]);
  });

  it('start the job with its file, and load the secrets that it uses', () => {
    const units = unitsOf(fileIn('/etc/x'));
    const nightly = textOf(units, 'ovirt-cbt-nightly.service');

    expect(valuesOf(nightly, 'ExecStart')).toEqual([
      `${process.execPath} /opt/ovirt-cbt/launch.cjs run nightly --file /etc/x/jobs.yaml`,
    ]);
    expect(valuesOf(nightly, 'LoadCredential')).toEqual([
      'engine-prod-password:/etc/x/pw',
      'repository-main-key:/etc/x/main.key',
      'repository-away-key:/etc/x/away.key',
      'notify-ops-mail-password:/etc/x/mail.pw',
      'notify-ops-webhook-secret:/etc/x/hook.key',
    ]);
    expect(valuesOf(textOf(units, 'ovirt-cbt-weekly.service'), 'LoadCredential')).toEqual([
      'engine-other-password:/etc/x/other.pw',
      'repository-main-key:/etc/x/main.key',
    ]);
  });

  it('give their sessions time to stop in order', () => {
    const file = fileIn('/etc/x');
    for (const { name, text } of [...unitsOf(file), daemonUnit(file, OPTIONS)]) {
      if (name.endsWith('.timer')) continue;
      expect(valuesOf(text, 'TimeoutStopSec'), name).toEqual(['10min']);
      expect(valuesOf(text, 'KillMode'), name).toEqual(['mixed']);
    }
  });

  it('name their job file as it is called', () => {
    const [first] = unitsOf(fileIn('/etc/100%'));

    expect(first?.text).toContain('timers" from /etc/100%/jobs.yaml: change that file');
  });

  it('may write only to the folders of the job', () => {
    const file = fileIn('/etc/x');
    const units = unitsOf(file);
    const nightly = textOf(units, 'ovirt-cbt-nightly.service');

    expect(valuesOf(nightly, 'ProtectSystem')).toEqual(['strict']);
    expect(valuesOf(nightly, 'ReadWritePaths')).toEqual([
      '/etc/x/repo /var/cache/ovirt-cbt /var/lib/metrics',
    ]);
    expect(valuesOf(textOf(units, 'ovirt-cbt-weekly.service'), 'ReadWritePaths')).toEqual([
      '/etc/x/repo /var/lib/metrics',
    ]);
    expect(writtenFolders(file, [...file.jobs.values()])).toContain('/var/cache/ovirt-cbt');
  });

  it('read variables for a bucket only', () => {
    const units = unitsOf(fileIn('/etc/x'));
    const of = (job: string): string[] =>
      valuesOf(textOf(units, `ovirt-cbt-${job}.service`), 'EnvironmentFile');

    expect(of('nightly')).toEqual(['-%E/ovirt-cbt/environment']);
    expect(of('weekly')).toEqual([]);
  });

  it('start a missed job later, except outside of its window', () => {
    const units = unitsOf(fileIn('/etc/x'));

    expect(valuesOf(textOf(units, 'ovirt-cbt-nightly.timer'), 'Persistent')).toEqual(['false']);
    expect(valuesOf(textOf(units, 'ovirt-cbt-weekly.timer'), 'Persistent')).toEqual(['true']);
    expect(valuesOf(textOf(units, 'ovirt-cbt-weekly.timer'), 'OnCalendar')).toHaveLength(2);
  });

  it('for a user have no limits and no credentials', () => {
    const file = fileIn('/etc/x');
    const [job] = file.jobs.values();
    if (!job) throw new Error('there is no job');
    const [service] = jobUnits(file, job, { ...OPTIONS, isOfUser: true });

    expect(service?.text).not.toMatch(/Protect|LoadCredential|RequiresMountsFor|network-online/);
  });

  it('are refused for a path that would begin a key of its own', () => {
    const file = fileIn('/etc/x\nExecStartPre=/bin/evil');

    expect(() => unitsOf(file)).toThrow('has control characters');
  });

  it('are understood by systemd, also with odd paths', (context) => {
    const folder = temp.make('odd "name" $HOME 100%n');
    const file = fileIn(folder);
    const units = [...unitsOf(file), daemonUnit(file, OPTIONS)];
    const place = temp.make('units');
    for (const { name, text } of units) writeFileSync(path.join(place, name), text);

    const files = units.map(({ name }) => path.join(place, name));
    expect(analyze(context, 'verify', ...files)).toBe('');
  });
});

describe('the unit of the daemon', () => {
  it('notifies, and has the secrets of all jobs', () => {
    const { name, text } = daemonUnit(fileIn('/etc/x'), OPTIONS);

    expect(name).toBe('ovirt-cbt.service');
    expect(valuesOf(text, 'Type')).toEqual(['notify']);
    expect(valuesOf(text, 'NotifyAccess')).toEqual(['all']);
    expect(valuesOf(text, 'WatchdogSec')).toEqual(['2min']);
    expect(valuesOf(text, 'LoadCredential')).toHaveLength(6);
    expect(valuesOf(text, 'ExecStart')[0]).toMatch(
      / daemon --listen 127\.0\.0\.1:8484 --file \/etc\/x\/jobs\.yaml$/,
    );
  });
});

describe('the folder of units', () => {
  it.each([
    [{ XDG_CONFIG_HOME: '/home/a/settings' }, '/home/a/settings/systemd/user'],
    [{ XDG_CONFIG_HOME: 'settings' }, path.join(os.homedir(), '.config/systemd/user')],
    [{}, path.join(os.homedir(), '.config/systemd/user')],
  ])('of a user with %j is %s', (environment, folder) => {
    expect(unitFolder(true, environment)).toBe(folder);
  });
});

describe('installed units', () => {
  it('replace those of before, and have mode 0644', async () => {
    const folder = temp.make('systemd');
    const units = unitsOf(fileIn('/etc/x'));

    await installUnits(folder, units);
    const written = await installUnits(folder, units);

    expect(readdirSync(folder)).toEqual(units.map(({ name }) => name));
    expect(readFileSync(written[0] ?? '', 'utf8')).toBe(units[0]?.text);
    expect(statSync(written[0] ?? '').mode & 0o777).toBe(0o644);
  });

  it('replace no file of others, and write none then', async () => {
    const folder = temp.make('systemd');
    const foreign = path.join(folder, 'ovirt-cbt-weekly.timer');
    writeFileSync(foreign, '[Timer]\n');

    await expectCode(installUnits(folder, unitsOf(fileIn('/etc/x'))), 'USAGE_OUTPUT_EXISTS');

    expect(readdirSync(folder)).toEqual(['ovirt-cbt-weekly.timer']);
    expect(readFileSync(foreign, 'utf8')).toBe('[Timer]\n');
  });

  it('of a job that is gone are named, those of another file are not', async () => {
    const folder = temp.make('systemd');
    const units = unitsOf(fileIn('/etc/x'));
    await installUnits(folder, units);
    const left = units.filter(({ name }) => name.includes('nightly'));

    expect(await leftUnits(folder, '/etc/x/jobs.yaml', left)).toEqual([
      'ovirt-cbt-weekly.service',
      'ovirt-cbt-weekly.timer',
    ]);
    expect(await leftUnits(folder, '/etc/y/jobs.yaml', left)).toEqual([]);
  });
});
