/** Shape of a job file. Names and paths are as written: `resolveJobFile` resolves them. */
import { z } from 'zod';
import {
  checkSearch,
  parseAddress,
  parseEngineUrl,
  parseFolder,
  parseHost,
  parseS3Url,
  parseTag,
  parseWebhookUrl,
} from './places.ts';
import type { RawJobFile } from './rawJobFile.ts';
import { parseSchedule, parseTimeZone } from './schedulePattern.ts';
import {
  choice,
  count,
  flag,
  list,
  named,
  oneOrMore,
  type Says,
  says,
  section,
  size,
  text,
  valueOf,
  withUnit,
} from './shapes.ts';
import {
  BadValue,
  kindOf,
  parseAcceptedCode,
  parseBlockSize,
  parseCalendarSpan,
  parseDurationMs,
  parsePeriodMs,
  parseShare,
  parseTimeOfDay,
  parseTimeoutMs,
  parseWorkerLabel,
} from './values.ts';

const SECOND_MS = 1000;
const MINUTE_MS: number = 60 * SECOND_MS;
/** Sessions at once, over all machines. */
const MOST_VMS = 1000;
/** 1 is the highest. */
const LOWEST_PRIORITY = 10;
const MOST_KEPT = 100_000;
const LEAST_RATE_BYTES = 64 * 1024;
const EVENTS = ['failure', 'warning', 'success', 'recovered', 'missed'] as const;

const engine = section({
  url: text(parseEngineUrl),
  username: text(),
  passwordFile: text(),
  caFile: text().optional(),
  parallelVms: count(1, MOST_VMS).optional(),
});

function needsBucket(key: string): Says {
  return says(key, 'needs a repository in a bucket', `write "url: s3://…", or delete "${key}"`);
}

const repository = section({
  path: text(parseFolder).optional(),
  url: text(parseS3Url).optional(),
  keyFile: text().optional(),
  cache: text().optional(),
  immutable: withUnit(parsePeriodMs).optional(),
  immutableMode: choice(['compliance', 'governance']).optional(),
  noLock: flag().optional(),
})
  .refine(
    ({ path, url }) => (path === undefined) !== (url === undefined),
    says(undefined, 'needs either "path" or "url"', 'write "path: FOLDER" or "url: s3://…"'),
  )
  .refine((own) => own.cache === undefined || own.path === undefined, needsBucket('cache'))
  .refine((own) => own.immutable === undefined || own.path === undefined, needsBucket('immutable'))
  .refine(
    (own) => own.immutableMode === undefined || own.immutable !== undefined,
    says('immutableMode', 'needs "immutable"', 'write "immutable: 30d", or delete it'),
  )
  .refine((own) => own.noLock !== true || own.path === undefined, needsBucket('noLock'));

/** An argument. A number in YAML is one too. */
const argument = valueOf((raw) => {
  const isPlain = typeof raw === 'string' || typeof raw === 'number';
  if (isPlain && !String(raw).includes('\0')) return String(raw);
  throw new BadValue('is no text', 'write each argument as a text, in quotes');
});

const hook = z.preprocess(
  (raw) => (typeof raw === 'string' || Array.isArray(raw) ? { command: raw as unknown } : raw),
  section({
    command: list(argument),
    timeout: withUnit(parseTimeoutMs).default(10 * MINUTE_MS),
  }).refine(
    ({ command }) => !Array.isArray(command) || command[0] !== '',
    says('command', 'names no program', 'write the program first: [program, argument]'),
  ),
);

const mail = section({
  host: text(parseHost),
  port: count(1, 65_535).optional(),
  security: choice(['tls', 'starttls', 'none']).default('starttls'),
  username: text().optional(),
  passwordFile: text().optional(),
  caFile: text().optional(),
  from: text(parseAddress),
  to: oneOrMore(text(parseAddress)),
})
  .refine(
    ({ username, passwordFile }) => (username === undefined) === (passwordFile === undefined),
    says(undefined, 'has one of "username" and "passwordFile"', 'write both, or none'),
  )
  .refine(
    ({ username, security }) => username === undefined || security !== 'none',
    says('security', 'the password would travel as plain text', 'write starttls or tls'),
  );

const webhook = section({
  url: text(parseWebhookUrl),
  secretFile: text().optional(),
  caFile: text().optional(),
  timeout: withUnit(parseTimeoutMs).default(30 * SECOND_MS),
});

const receiver = section({
  on: list(choice(EVENTS)).default(['failure', 'warning', 'recovered', 'missed']),
  mail: mail.optional(),
  webhook: webhook.optional(),
  command: hook.optional(),
}).refine(
  (own) => (own.mail ?? own.webhook ?? own.command) !== undefined,
  says(undefined, 'tells nobody', 'write "mail", "webhook" or "command"'),
);

const vms = section({
  all: flag().optional(),
  names: oneOrMore(text()).optional(),
  search: text(checkSearch).optional(),
  tags: oneOrMore(text(parseTag)).optional(),
  exclude: oneOrMore(text()).optional(),
})
  .refine(
    ({ all, names, search, tags }) => all === true || (names ?? search ?? tags) !== undefined,
    says(undefined, 'selects no VM', 'write "names", "tags", "search" or "all: true"'),
  )
  .refine(
    ({ search, tags }) =>
      tags === undefined || typeof search !== 'string' || !/\bsortby\b/i.test(search),
    says('search', 'has "sortby" beside "tags"', 'delete "sortby": VMs are sorted by name'),
  );

const backup = section({
  mode: choice(['auto', 'full', 'incremental']).default('auto'),
  compression: choice(['none', 'default', 'high']).default('default'),
  blockSize: withUnit(parseBlockSize).optional(),
  connections: count(1, 8).optional(),
  workers: count(0, 64).optional(),
  requireConsistency: flag().default(false),
  partialReads: flag().default(false),
  audit: withUnit(parseShare).optional(),
  wait: withUnit(parseDurationMs).optional(),
});

const limits = section({
  parallelVms: count(1, MOST_VMS).default(2),
  perStorageDomain: count(1, MOST_VMS).optional(),
  perHost: count(1, MOST_VMS).optional(),
  bytesPerSecond: size(LEAST_RATE_BYTES, '64KiB or more').optional(),
});

const kept = count(0, MOST_KEPT).optional();

const keep = section({
  last: kept,
  daily: kept,
  weekly: kept,
  monthly: kept,
  yearly: kept,
  within: withUnit(parseCalendarSpan).optional(),
}).refine(
  (rules) => Object.values(rules).some((value) => value !== undefined && value !== 0),
  says(undefined, 'keeps nothing', 'write one rule at least, such as "daily: 7"'),
);

const job = section({
  engine: text(),
  vms,
  excludeDisks: oneOrMore(text()).default([]),
  repository: text(),
  schedule: text(parseSchedule).optional(),
  timezone: text(parseTimeZone).optional(),
  window: section({ until: text(parseTimeOfDay) }).optional(),
  backup: backup.prefault({}),
  limits: limits.prefault({}),
  priority: count(1, LOWEST_PRIORITY).default(5),
  workerLabel: text(parseWorkerLabel).optional(),
  retry: section({
    times: count(0, 10).default(1),
    delay: withUnit(parseDurationMs).default(5 * MINUTE_MS),
  }).prefault({}),
  keep: keep.optional(),
  verify: section({ sample: withUnit(parseShare) }).optional(),
  copyTo: text().optional(),
  hooks: section({ before: list(hook).default([]), after: list(hook).default([]) }).prefault({}),
  notify: oneOrMore(text()).default([]),
  accept: oneOrMore(text(parseAcceptedCode)).default([]),
  strict: flag().default(false),
}).refine(
  ({ copyTo, repository: own }) => copyTo === undefined || copyTo !== own,
  says('copyTo', 'is the repository of the job itself', 'name another repository'),
);

/** Node_exporter reads no other files. */
function parseTextfile(name: string): string {
  if (name.endsWith('.prom')) return name;
  throw new BadValue('does not end with .prom', 'write a name that node_exporter reads: NAME.prom');
}

export const jobFileSchema: z.ZodType<RawJobFile> = section({
  engines: named(engine),
  repositories: named(repository),
  jobs: named(job),
  notify: named(receiver).default({}),
  metrics: section({ textfile: text(parseTextfile) }).optional(),
  stateFolder: text().optional(),
}).refine(
  ({ jobs }) => kindOf(jobs) !== 'a group of keys' || Object.keys(jobs).length > 0,
  says('jobs', 'has no job', 'write a job as docs/jobs.md shows'),
);
