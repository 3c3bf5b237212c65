/** The systemd units of a job file: a service and a timer for each job, or one for the daemon. */
import path from 'node:path';
import { UsageError } from '../../core/errors.ts';
import type { JobConfig, JobFile, RepositoryConfig, SecretFile } from '../jobFile.ts';
import { calendarEvents } from './calendar.ts';
import { argument, type Entries, plain, quoted, sectionText } from './unitText.ts';

/** First words of a unit that this product made. Other files are never replaced. */
export const MADE_BY = '# Made by "ovirt-cbt timers"';

/** Metrics and health of the daemon. */
const STATUS_ADDRESS = '127.0.0.1:8484';

export interface Unit {
  /** File name. */
  readonly name: string;
  readonly text: string;
}

export interface UnitOptions {
  /** The command line that starts this product, absolute. */
  readonly program: readonly string[];
  /** For the service manager of a user, which has its own rights only. */
  readonly isOfUser: boolean;
}

/** systemd makes it, for `StateDirectory`. */
const STATE_FOLDER = '/var/lib/ovirt-cbt';
/**
 * Variables for servers of buckets, such as AWS_ACCESS_KEY_ID. The file may be missing. `%E` is
 * /etc, or the folder of settings of a user.
 */
const ENVIRONMENT_FILE = '%E/ovirt-cbt/environment';

/**
 * Limits of what a run may do. `MemoryDenyWriteExecute` is left out, because V8 makes code at run
 * time. `ProtectProc` is left out, because a lock looks at other processes.
 */
const LIMITS: Entries = [
  ['UMask', '0077'],
  ['NoNewPrivileges', 'yes'],
  ['ProtectSystem', 'strict'],
  ['ProtectHome', 'read-only'],
  ['PrivateTmp', 'yes'],
  ['PrivateDevices', 'yes'],
  ['ProtectKernelTunables', 'yes'],
  ['ProtectKernelModules', 'yes'],
  ['ProtectKernelLogs', 'yes'],
  ['ProtectControlGroups', 'yes'],
  ['ProtectClock', 'yes'],
  ['ProtectHostname', 'yes'],
  ['RestrictNamespaces', 'yes'],
  ['RestrictRealtime', 'yes'],
  ['RestrictSUIDSGID', 'yes'],
  ['RestrictAddressFamilies', 'AF_UNIX AF_INET AF_INET6 AF_NETLINK'],
  ['LockPersonality', 'yes'],
  ['SystemCallArchitectures', 'native'],
];

function repositoriesOf(jobs: readonly JobConfig[]): RepositoryConfig[] {
  const all = jobs.flatMap(({ repository, copyTo }) =>
    copyTo ? [repository, copyTo] : [repository],
  );
  return [...new Set(all)];
}

function isBucket({ place }: RepositoryConfig): boolean {
  return !path.isAbsolute(place);
}

function secretsOf(jobs: readonly JobConfig[]): SecretFile[] {
  const secrets = [
    ...jobs.map(({ engine }) => engine.password),
    ...repositoriesOf(jobs).map(({ key }) => key),
    ...jobs.flatMap(({ notify }) =>
      notify.flatMap(({ mail, webhook }) => [mail?.password, webhook?.secret]),
    ),
  ].filter((secret) => secret !== undefined);
  const byName = new Map(secrets.map((secret) => [secret.credential, secret]));
  return [...byName.values()];
}

/** Folders that jobs write to, beside the state that systemd gives. Sorted. */
export function writtenFolders(file: JobFile, jobs: readonly JobConfig[]): string[] {
  const repositories = repositoriesOf(jobs);
  const folders = [
    ...repositories.filter((one) => !isBucket(one)).map(({ place }) => place),
    ...repositories.map(({ cache }) => cache),
    file.metricsFile && path.dirname(file.metricsFile),
    file.stateFolder,
  ].filter((folder) => folder !== undefined);
  return [...new Set(folders)].filter((folder) => folder !== STATE_FOLDER).toSorted();
}

/** Values of a job file have no line breaks. Its own path may have some: they would begin a key. */
function refuseControls(paths: readonly string[]): void {
  if (!paths.some((text) => /\p{Cc}/u.test(text))) return;
  throw new UsageError('USAGE_INVALID_OPTION', 'the path of the job file has control characters', {
    hint: 'give its file and its folders plain names',
  });
}

/** What the units of a job file begin with. A comment needs no escapes. */
export function firstWords(jobFile: string): string {
  return `${MADE_BY} from ${jobFile}:`;
}

function startOf(text: string, { path: file }: JobFile): string {
  return `${firstWords(file)} change that file and make the unit again.\n${text}`;
}

/** What services of jobs and of the daemon share. */
function serviceParts(
  file: JobFile,
  jobs: readonly JobConfig[],
  { program, isOfUser }: UnitOptions,
  args: readonly string[],
): { readonly unit: Entries; readonly service: Entries } {
  refuseControls([...program, file.path]);
  const folders = writtenFolders(file, jobs).map(quoted).join(' ');
  const some = folders === '' ? undefined : folders;
  const environment = repositoriesOf(jobs).some(isBucket) ? `-${ENVIRONMENT_FILE}` : undefined;
  const credentials = secretsOf(jobs).map(({ credential, path: secret }) => {
    return `${credential}:${plain(secret)}`;
  });
  const command = [...program, ...args, '--file', file.path].map(argument).join(' ');
  // The manager of a user starts no unit of the system, and its processes have no other rights.
  const unit: Entries = [
    ['Wants', isOfUser ? undefined : 'network-online.target'],
    ['After', isOfUser ? undefined : 'network-online.target time-sync.target'],
    // Without it a backup would go into the folder under a mount that is missing.
    ['RequiresMountsFor', isOfUser ? undefined : some],
  ];
  const limits: Entries = isOfUser ? [] : [...LIMITS, ['ReadWritePaths', some]];
  const service: Entries = [
    ['ExecStart', command],
    ['LoadCredential', isOfUser ? undefined : credentials],
    ['EnvironmentFile', environment],
    ['StateDirectory', 'ovirt-cbt'],
    ['StateDirectoryMode', '0700'],
    ['Nice', '10'],
    ['IOSchedulingClass', 'best-effort'],
    ['IOSchedulingPriority', '7'],
    // Sessions stop in order: engines must not keep snapshots and locks.
    ['TimeoutStopSec', '10min'],
    ['KillMode', 'mixed'],
    ...limits,
  ];
  return { unit, service };
}

/** Service and timer of a job; nothing for a job without a schedule. */
export function jobUnits(file: JobFile, job: JobConfig, options: UnitOptions): Unit[] {
  if (job.schedule === undefined) return [];
  const { unit, service } = serviceParts(file, [job], options, ['run', job.name]);
  const name = `ovirt-cbt-${job.name}`;
  const serviceText = [
    sectionText('Unit', [['Description', `oVirt backup job ${job.name}`], ...unit]),
    sectionText('Service', [['Type', 'oneshot'], ...service]),
  ];
  const timerText = [
    sectionText('Unit', [['Description', `Times of oVirt backup job ${job.name}`]]),
    sectionText('Timer', [
      ['OnCalendar', calendarEvents(job.schedule, job.timezone)],
      // A start that comes late would be outside of the window.
      ['Persistent', job.windowUntil === undefined ? 'true' : 'false'],
      ['AccuracySec', '1s'],
    ]),
    sectionText('Install', [['WantedBy', 'timers.target']]),
  ];
  return [
    { name: `${name}.service`, text: startOf(serviceText.join('\n'), file) },
    { name: `${name}.timer`, text: startOf(timerText.join('\n'), file) },
  ];
}

/** The service of the daemon, which runs all jobs. */
export function daemonUnit(file: JobFile, options: UnitOptions): Unit {
  const { unit, service } = serviceParts(file, [...file.jobs.values()], options, [
    'daemon',
    '--listen',
    STATUS_ADDRESS,
  ]);
  const text = [
    sectionText('Unit', [['Description', 'oVirt backup jobs'], ...unit]),
    sectionText('Service', [
      ['Type', 'notify'],
      ['NotifyAccess', 'all'],
      ['WatchdogSec', '2min'],
      ...service,
      ['ExecReload', '/bin/kill -HUP $MAINPID'],
      ['Restart', 'on-failure'],
      ['RestartSec', '30s'],
    ]),
    sectionText('Install', [
      ['WantedBy', options.isOfUser ? 'default.target' : 'multi-user.target'],
    ]),
  ];
  return { name: 'ovirt-cbt.service', text: startOf(text.join('\n'), file) };
}
