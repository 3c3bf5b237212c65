/** A job file: names and paths resolved, or all of its problems with their places. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import yaml from 'yaml';
import { z } from 'zod';
import { jobFileSchema } from '../../../../src/jobs/config/jobFileSchema.ts';
import { JobFileError, type JobFileProblem } from '../../../../src/jobs/config/problems.ts';
import { parseJobFile, readJobFile } from '../../../../src/jobs/config/readJobFile.ts';
import { parseTimeZone } from '../../../../src/jobs/config/schedulePattern.ts';
import type { JobConfig, JobFile } from '../../../../src/jobs/jobFile.ts';
import { expectCode } from '../../../helpers/codes.ts';
import { tempFolderOfTest } from '../../../helpers/tempFolder.ts';

const FILE = '/etc/ovirt-cbt/jobs.yaml';
const DOCUMENT = readFileSync('docs/jobs.md', 'utf8');
const EXAMPLES = [...DOCUMENT.matchAll(/^```yaml\n(.*?)^```/gms)].map((match) => match[1] ?? '');

const EXAMPLE: unknown = yaml.parse(EXAMPLES[1] ?? '');
const PLACES = placesOf(EXAMPLE).filter((place) => place.length > 0);

function parse(text: string): JobFile {
  return parseJobFile(text, FILE).file;
}

/** A valid file, with a job that has these lines too. */
function textWith({ job = '', more = '', vms = 'all: true' } = {}): string {
  return `engines:
  prod: { url: https://engine.example/ovirt-engine, username: admin@internal, passwordFile: pw }
repositories:
  main: { path: /backup }
  away: { url: s3://bucket/ovirt }
jobs:
  nightly:
    engine: prod
    repository: main
    vms: { ${vms} }
    ${job}
${more}`;
}

function jobOf(text: string): JobConfig {
  const job = parse(text).jobs.get('nightly');
  if (!job) throw new Error('the job is missing');
  return job;
}

function indented(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '  ');
}

function problemsOf(text: string): readonly JobFileProblem[] {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof JobFileError) return error.problems;
    throw error;
  }
  return [];
}

/** The problem of a file that has one. */
function problemOf(text: string): JobFileProblem {
  const problems = problemsOf(text);
  expect(problems).toHaveLength(1);
  return problems[0] ?? { line: 0, column: 0, key: '', what: '', advice: '' };
}

describe('the examples of docs/jobs.md', () => {
  it('are job files', () => {
    expect(EXAMPLES.length).toBe(2);
    for (const text of EXAMPLES) expect(problemsOf(text)).toEqual([]);
  });

  it('give the jobs that they say', () => {
    const file = parse(EXAMPLES[1] ?? '');
    const nightly = file.jobs.get('nightly');
    const weekend = file.jobs.get('weekend');

    expect(nightly).toMatchObject({
      engine: { name: 'prod', parallelVms: 6, caFile: '/etc/ovirt-cbt/engine-ca.pem' },
      repository: {
        place: '/backup',
        key: { path: '/etc/ovirt-cbt/main.key', credential: 'repository-main-key' },
      },
      vms: { names: ['web*', 'db01'], search: 'tag=production', exclude: ['*-test'] },
      excludeDisks: ['*_swap'],
      schedule: '0 1 * * *',
      timezone: 'Europe/Berlin',
      windowUntil: '06:00',
      limits: {
        parallelVms: 4,
        perStorageDomain: 2,
        perHost: 2,
        bytesPerSecond: 200 * 1024 * 1024,
      },
      priority: 3,
      workerLabel: 'site=a',
      retry: { times: 2, delayMs: 600_000 },
      keep: { daily: 7, weekly: 4, monthly: 12 },
      verifySampleRatio: 0.05,
      copyTo: { place: 's3://backup.example/ovirt', cache: '/var/cache/ovirt-cbt' },
      strict: false,
    });
    expect(nightly?.hooks).toEqual({
      before: [{ command: ['/usr/local/sbin/storage-ready', 'main'], timeoutMs: 600_000 }],
      after: [{ command: ['/etc/ovirt-cbt/after.sh'], timeoutMs: 120_000 }],
    });
    expect(weekend).toMatchObject({
      backup: { compression: 'high', auditRatio: 0.02, mode: 'auto' },
      keep: nightly?.keep,
      strict: true,
    });
    expect(weekend?.notify.map(({ name }) => name)).toEqual(['ops', 'chat']);
    expect(file.notify.get('ops')?.mail).toMatchObject({
      port: 587,
      security: 'starttls',
      password: { credential: 'notify-ops-mail-password' },
    });
    expect(file.notify.get('chat')?.webhook?.secret?.credential).toBe('notify-chat-webhook-secret');
    expect(file.metricsFile).toBe('/var/lib/prometheus/node-exporter/ovirt-cbt.prom');
  });

  it('and its tables name every key', () => {
    const schema = z.toJSONSchema(jobFileSchema, { io: 'input', unrepresentable: 'any' });
    const named = new Set([...DOCUMENT.matchAll(/`(\w+)`/g)].map((match) => match[1]));

    expect(keysOf(schema).length).toBeGreaterThan(60);
    expect(keysOf(schema).filter((key) => !named.has(key))).toEqual([]);
  });
});

/** All keys of groups in a JSON schema. */
function keysOf(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  return Object.entries(schema).flatMap(([name, value]: [string, unknown]) => [
    ...(name === 'properties' && typeof value === 'object' && value !== null
      ? Object.keys(value)
      : []),
    ...keysOf(value),
  ]);
}

describe('a job file', () => {
  it('has defaults', () => {
    expect(jobOf(textWith())).toMatchObject({
      schedule: undefined,
      windowUntil: undefined,
      backup: { mode: 'auto', compression: 'default', requireConsistency: false },
      limits: {
        parallelVms: 2,
        perStorageDomain: undefined,
        perHost: undefined,
        bytesPerSecond: undefined,
      },
      priority: 5,
      workerLabel: undefined,
      retry: { times: 1, delayMs: 300_000 },
      keep: undefined,
      hooks: { before: [], after: [] },
      notify: [],
    });
  });

  it.each([
    ['tags: gold', 'tag=gold'],
    ["tags: [gold, 'two words']", 'tag=gold or tag="two words"'],
    ["search: 'cluster=a and name=b*', tags: gold", 'cluster=a and name=b* or tag=gold'],
    ['names: web01', undefined],
  ])('with VMs of { %s } searches for %s', (vms, search) => {
    expect(jobOf(textWith({ vms })).vms.search).toBe(search);
  });

  it('gives a lock in milliseconds, and its mode', () => {
    const text = textWith().replace(
      'ovirt }',
      'ovirt, immutable: 30d, immutableMode: governance }',
    );

    expect(parse(text).repositories.get('away')?.immutable).toEqual({
      periodMs: 30 * 86_400_000,
      mode: 'governance',
    });
  });

  it('is read from its file, and paths are relative to it', async () => {
    const folder = tempFolderOfTest();
    const file = path.join(folder, 'jobs.yaml');
    writeFileSync(file, `\uFEFF${textWith()}`);

    const { engines, path: own } = await readJobFile(path.relative(process.cwd(), file));

    expect(own).toBe(file);
    expect(engines.get('prod')?.password.path).toBe(path.join(folder, 'pw'));
  });

  it('that is missing is told by its name', async () => {
    await expectCode(readJobFile('/nonexistent/jobs.yaml'), 'USAGE_INVALID_OPTION');
  });

  it('has one error with the hint for one problem', async () => {
    const file = path.join(tempFolderOfTest(), 'jobs.yaml');
    writeFileSync(file, textWith({ job: 'strikt: true' }));

    const error = await expectCode(readJobFile(file), 'USAGE_JOB_FILE');

    expect(error.message).toBe(`${file}:11:5: jobs.nightly.strikt: unknown key`);
    expect(error.hint).toMatch(/^did you mean "strict"\?/);
  });
});

describe('a wrong job file', () => {
  it('has all problems in the order of their lines', () => {
    const text = `engines:
  prod:
    url: http://engine.example/ovirt-engine
    username: admin@internal
    password: hunter2
repositories:
  'off site': { path: /backup }
jobs:
  nightly:
    engine: prodd
    repository: main
    vms:
    scedule: '0 1 * * *'
    timezone: Europe/Berln
    limits: { parallelVms: 1001 }
    notify: [ops]
`;
    const places = problemsOf(text).map(({ line, column, key }) => `${line}:${column} ${key}`);

    expect(places).toEqual([
      '2:3 engines.prod.passwordFile',
      '3:10 engines.prod.url',
      '5:5 engines.prod.password',
      '7:3 repositories."off site"',
      '10:13 jobs.nightly.engine',
      '11:17 jobs.nightly.repository',
      '12:5 jobs.nightly.vms',
      '13:5 jobs.nightly.scedule',
      '14:15 jobs.nightly.timezone',
      '15:28 jobs.nightly.limits.parallelVms',
      '16:14 jobs.nightly.notify[0]',
    ]);
  });

  it('shows no secret', () => {
    const text = textWith()
      .replace('passwordFile: pw', 'password: hunter2, passphrase: [hunter2]')
      .replace('https://engine', 'https://admin:hunter2@engine');
    const shown = JSON.stringify(problemsOf(text));

    expect(shown).toContain('write \\"passwordFile\\"');
    expect(shown).not.toContain('hunter2');
  });

  it('shows no secret in an error of YAML', () => {
    const shown = JSON.stringify(problemsOf('engines: { prod: { password: *hunter2 } }'));

    expect(shown).not.toContain('hunter2');
  });

  it('checks what is below a bad name', () => {
    const text = textWith({ job: "schedule: '0 1'" }).replace('nightly:', 'my nightly:');

    const told = problemsOf(text).map(({ key, what }) => `${key} ${what}`);

    expect(told).toEqual([
      'jobs."my nightly" is no usable name',
      'jobs."my nightly".schedule "0 1" has 2 fields instead of 5',
    ]);
  });

  it('checks what is below misspelled keys, at each level', () => {
    const text = textWith({ job: 'limit: { paralelVms: 1001 }\n    copyTo: far' })
      .replace('jobs:', 'job:')
      .replace('repository: main', 'repositry: main');

    const told = problemsOf(text).map(({ line, key, what }) => `${line} ${key} ${what}`);

    expect(told).toEqual([
      '6 job unknown key',
      '9 job.nightly.repositry unknown key',
      '11 job.nightly.limit unknown key',
      '11 job.nightly.limit.paralelVms unknown key',
      '11 job.nightly.limit.paralelVms 1001 is not a whole number from 1 to 1000',
      '12 job.nightly.copyTo "far" is not in "repositories"',
    ]);
  });

  it.each([
    ['verify: true', 'write its keys below it, indented: sample'],
    ['retry: 3', 'write its keys below it, indented: times, delay'],
    ['window: 22:00-06:00', 'write its keys below it, indented: until'],
  ])('names the keys to write for %s', (job, advice) => {
    expect(problemOf(textWith({ job })).advice).toBe(advice);
  });

  it.each([
    ['CBT-110', '"CBT-110" is no code of a message', 'did you mean "CBT-101"'],
    ['XFER-306', '"XFER-306" is an error', 'accept codes of warnings only'],
  ])('accepts no message %s', (code, what, advice) => {
    const problem = problemOf(textWith({ job: `accept: [CBT-101, ${code}]` }));

    expect(problem).toMatchObject({ key: 'jobs.nightly.accept[1]', what });
    expect(problem.advice).toContain(advice);
  });

  it.each(['engines', 'repositories', 'jobs', 'notify'])('names nothing __proto__ in %s', (key) => {
    const { [key]: old, ...others } = yaml.parse(textWith()) as Record<string, object | undefined>;
    const text = `${yaml.stringify(others)}${key}:\n  __proto__: {}\n`;
    const more = Object.keys(old ?? {}).length === 0 ? '' : indented(yaml.stringify(old));

    const named = problemsOf(text + more).filter(({ what }) => what === 'is no usable name');

    expect(named.map((problem) => problem.key)).toEqual([`${key}.__proto__`]);
  });

  it.each([
    ['utc', ['UTC']],
    ['europe/berlin', ['Europe/Berlin']],
    // An older name: which of the two it becomes depends on the version of Node.
    ['us/eastern', ['America/New_York', 'US/Eastern']],
  ])('writes the time zone %s as systemd knows it', (zone, names) => {
    expect(names).toContain(parseTimeZone(zone));
  });

  it.each([
    ["schedule: '0 1 * *'", '"0 1 * *" has 4 fields instead of 5'],
    ["schedule: '0 0 30 2 *'", '"0 0 30 2 *" never comes: no month that it names has such a day'],
    ["schedule: '60 0 * * *'", /is no cron pattern: Invalid value for minute: 60/],
    ["schedule: '@daily'", '"@daily" is a short name'],
    ["schedule: '0 1 L * *'", '"L" in "0 1 L * *" is not understood'],
    ["schedule: '0 1 15W * *'", '"15W" in "0 1 15W * *" is not understood'],
    ["schedule: '0 1 * * mon#1'", '"mon#1" in "0 1 * * mon#1" is not understood'],
    ["schedule: '0 1 * foo *'", /is no cron pattern/],
    ['timezone: Mars/Olympus', '"Mars/Olympus" is no time zone of the IANA database'],
    ["timezone: '+02:00'", '"+02:00" is no time zone of the IANA database'],
    ["window: { until: '24:00' }", '"24:00" is not a time of day'],
    ['limits: { bytesPerSecond: 200MB }', '"200MB" is not a size'],
    ['limits: { bytesPerSecond: 1KiB }', '"1KiB" is too small'],
    ['priority: 0', '0 is not a whole number from 1 to 10'],
    ['workerLabel: site', '"site" is no label'],
    ['workerLabel: site=a b', '"site=a b" is no label'],
    [`workerLabel: 'site:a=b'`, '"site:a=b" is no label'],
    ['limits: { perHost: 0 }', '0 is not a whole number from 1 to 1000'],
    ['limits: { parallelVms: 1.5 }', '1.5 is not a whole number from 1 to 1000'],
    ['retry: { delay: 5m }', '"5m" is not a duration'],
    ['retry: { delay: 25d }', '"25d" is too long'],
    ['backup: { wait: 999999999d }', '"999999999d" is too long'],
    ['hooks: { before: [{ command: [a], timeout: 30d }] }', '"30d" is too long'],
    ['hooks: { before: [{ command: [a], timeout: 0s }] }', '"0s" is too short'],
    [`schedule: '${'0,'.repeat(300)}1 1 * * *'`, 'is longer than 500 characters'],
    ['verify: { sample: 0% }', '"0%" is not a share'],
    ['verify: { sample: 5 }', '"5" is not a share'],
    ['keep: { daily: 0 }', 'keeps nothing'],
    ['keep: { within: 5 days }', '"5 days" is not a span of time'],
    ['backup: { blockSize: 3MiB }', '"3MiB" is no block size'],
    ['backup: { mode: incr }', '"incr" is not known'],
    ['copyTo: main', 'is the repository of the job itself'],
    ['copyTo: mian', '"mian" is not in "repositories"'],
    ['hooks: { before: [reboot now] }', 'is a text, not a list'],
    ['hooks: { before: [[]] }', 'is an empty list'],
    ['hooks: { before: [["", a]] }', 'names no program'],
    ['notify: []', 'is an empty list'],
    ['strict: yes', '"yes" is neither true nor false'],
  ])('with a job of { %s } says what is wrong', (job, what) => {
    const problem = problemOf(textWith({ job }));

    expect(problem.line).toBe(11);
    expect(problem.what).toMatch(typeof what === 'string' ? new RegExp(escaped(what)) : what);
    expect(problem.advice).not.toBe('');
  });

  it.each([
    ['', 'selects no VM'],
    ['exclude: [a]', 'selects no VM'],
    ["search: 'name=a page 2'", 'asks for a single page'],
    ["search: 'name=a sortby name', tags: [x]", 'has "sortby" beside "tags"'],
    ['names: [1234]', 'is a number, not a text'],
    ['names: []', 'is an empty list'],
  ])('with VMs of { %s } says what is wrong', (vms, what) => {
    expect(problemOf(textWith({ vms })).what).toBe(what);
  });

  it.each([
    ['path: /a, url: s3://bucket/c', 'needs either "path" or "url"'],
    ['keyFile: key', 'needs either "path" or "url"'],
    ['path: s3://bucket/a', 'is a URL, not a folder'],
    ['url: https://bucket/a', 'names no bucket'],
    ['url: s3://B/a', /names no bucket/],
    ['path: /a, immutable: 30d', 'needs a repository in a bucket'],
    ['url: s3://bucket/a, immutableMode: governance', 'needs "immutable"'],
  ])('with a repository of { %s } says what is wrong', (repository, what) => {
    const text = textWith().replace('path: /backup', repository);

    expect(problemOf(text).what).toMatch(what);
  });

  it.each([
    ['on: [failure]', 'tells nobody'],
    ['on: [failed], command: [x]', '"failed" is not known'],
    ['webhook: { url: http://example.org/x }', 'begins with http://, not with https://'],
    ['mail: { host: "m:25", from: a@b, to: c@d }', '"m:25" is no host name'],
    ['mail: { host: m, from: a, to: c@d }', '"a" is no mail address'],
    ['mail: { host: "smtps://u:pw@m", from: a@b, to: c@d }', 'the value is no host name'],
    ['mail: { host: m, from: "u:pw@m x", to: c@d }', 'the value is no mail address'],
    ['mail: { host: m, from: a@b, to: ["c@d\\nBcc: e@f"] }', 'has control characters'],
    ['mail: { host: m, from: a@b, to: c@d, username: u }', /has one of "username"/],
    [
      'mail: { host: m, from: a@b, to: c@d, username: u, passwordFile: p, security: none }',
      'the password would travel as plain text',
    ],
  ])('with a receiver of { %s } says what is wrong', (receiver, what) => {
    const text = textWith({ more: `notify:\n  ops: { ${receiver} }` });

    expect(problemOf(text).what).toMatch(what);
  });

  it('takes a web hook of this machine without TLS', () => {
    const more = 'notify:\n  ops: { webhook: { url: "http://127.0.0.1:8080/x" } }';

    expect(problemsOf(textWith({ more }))).toEqual([]);
  });

  it('with metrics that node_exporter would not read says so', () => {
    const more = 'metrics: { textfile: /tmp/metrics.txt }';

    expect(problemOf(textWith({ more })).what).toBe('does not end with .prom');
  });
});

describe('a file that is no YAML', () => {
  it.each([
    ['', 1, 'has no keys'],
    ['- a\n', 1, 'has no keys'],
    ['jobs:\n\tx: 1\n', 2, 'a tab is used as indentation'],
    ['jobs: {}\njobs: {}\n', 2, 'the key is written twice'],
    ['a: 1\n---\nb: 2\n', 2, 'a second document begins'],
    ['a:\n  b: */5 * * * *\n', 2, 'a value begins with * and names no anchor'],
    ['a: !x y\n', 1, 'a value begins with ! and is read as a tag'],
    ['a: "x\n', 2, /^is no YAML/],
  ])('%j is told by its line', (text, line, what) => {
    const problem = problemOf(text);

    expect(problem.line).toBe(line);
    expect(problem.what).toMatch(what);
  });

  it.each([
    ['brackets', `a: ${'['.repeat(200_000)}`],
    ['brackets over lines', '[\n'.repeat(200_000)],
    ['dashes', '- '.repeat(200_000)],
    ['indentation', Array.from({ length: 900 }, (_, level) => `${' '.repeat(level)}a:`).join('\n')],
  ])('that nests deeply by %s is refused', (_, text) => {
    expect(problemOf(text).what).toBe('is nested too deeply');
  });

  it('with any value in any place has problems, and no other error', () => {
    fc.assert(
      fc.property(fc.nat({ max: PLACES.length - 1 }), fc.jsonValue(), (place, value) => {
        const broken = structuredClone(EXAMPLE);
        replaceAt(broken, PLACES[place] ?? [], value);
        for (const { line, column, what, advice } of problemsOf(JSON.stringify(broken))) {
          expect(line).toBe(1);
          expect(column).toBeGreaterThan(0);
          expect(what).not.toBe('');
          expect(advice).not.toBe('');
        }
      }),
      { numRuns: 25 },
    );
  });

  it('with aliases that grow without end is refused', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
    for (let level = 1; level < 9; level++) {
      const before = `*a${level - 1}`;
      lines.push(`a${level}: &a${level} [${Array.from({ length: 9 }, () => before).join(', ')}]`);
    }

    expect(problemOf(lines.join('\n')).what).toBe('has too many aliases (*)');
  });
});

type Path = readonly (string | number)[];

/** Paths of all values inside a value. */
function placesOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  const inner = Object.entries(value).flatMap(([key, entry]: [string, unknown]) =>
    placesOf(entry, [...path, key]),
  );
  return [path, ...inner];
}

function replaceAt(value: unknown, path: Path, by: unknown): void {
  const [key = '', ...rest] = path;
  const group = value as Record<string, unknown>;
  if (rest.length === 0) group[key] = by;
  else replaceAt(group[key], rest, by);
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
