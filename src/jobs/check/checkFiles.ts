/** Looks at the files that a job file names: secrets, certificates, programs, folders. */
import { X509Certificate } from 'node:crypto';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf, UsageError } from '../../core/errors.ts';
import { plainReason } from '../../core/errorWords.ts';
import { readKeyFile } from '../../store/seal/keyFile.ts';
import { readCaFile } from '../../store/userFile.ts';
import type {
  EngineConfig,
  HookConfig,
  JobConfig,
  JobFile,
  NotifyConfig,
  RepositoryConfig,
  SecretFile,
} from '../jobFile.ts';
import type { KeyPath } from '../config/positions.ts';
import { type JobFileProblem, problemAt } from '../config/problems.ts';
import type { LoadedJobFile } from '../config/readJobFile.ts';
import { readSecret, secretPath } from '../config/secrets.ts';
import { BadValue } from '../config/values.ts';

/** A key of the job file that names a file, and what looks at that file. */
type Check = readonly [path: KeyPath, check: () => Promise<void>];

const WRITABLE_BY_ALL = 0o002;

/** Certificates end at times such as `Nov 30 01:50:00 2026 GMT`. */
async function checkCa(file: string, owner: string): Promise<void> {
  const text = await readCaFile(file, owner);
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(text);
  } catch {
    throw new BadValue(`CA file ${file} holds no PEM certificate`, `name the CA of ${owner}`);
  }
  if (Date.parse(certificate.validTo) > Date.now()) return;
  throw new BadValue(`the certificate in ${file} ended on ${certificate.validTo}`, 'renew it');
}

async function checkSecret(secret: SecretFile): Promise<void> {
  if ((await readSecret(secret)) !== '') return;
  throw new BadValue(`secret file ${secretPath(secret)} is empty`, 'write the secret into it');
}

async function isProgram(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
}

async function checkProgram({ command: [program = ''] }: HookConfig): Promise<void> {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter).filter(Boolean);
  const files = path.isAbsolute(program)
    ? [program]
    : folders.map((one) => path.join(one, program));
  for (const file of files) if (await isProgram(file)) return;
  const where = path.isAbsolute(program) ? '' : ' in the PATH';
  throw new BadValue(
    `there is no program ${program}${where} that may be started`,
    'check its name and mode; a shell is not used, so give each argument an entry of its own',
  );
}

/** The metrics go into a new file beside the old one, so the folder must be writable. */
async function checkFolder(folder: string): Promise<void> {
  try {
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    const reason = plainReason(errnoOf(error) ?? 'cannot be written');
    throw new BadValue(`folder ${folder}: ${reason}`, 'make it, or give this user the right');
  }
}

/** Hooks are run as this user. */
async function checkJobFile(file: string): Promise<void> {
  const { mode } = await stat(file);
  if ((mode & WRITABLE_BY_ALL) === 0) return;
  throw new BadValue(
    'all users of this machine can change the job file, and with it what hooks start',
    `run: chmod o-w ${file}`,
  );
}

function secretCheck(path: KeyPath, secret: SecretFile | undefined): Check[] {
  return secret === undefined ? [] : [[path, () => checkSecret(secret)]];
}

function caCheck(path: KeyPath, file: string | undefined, owner: string): Check[] {
  return file === undefined ? [] : [[path, () => checkCa(file, owner)]];
}

function engineChecks({ name, password, caFile }: EngineConfig): Check[] {
  const key = ['engines', name];
  return [
    ...secretCheck([...key, 'passwordFile'], password),
    ...caCheck([...key, 'caFile'], caFile, 'the engine'),
  ];
}

function repositoryChecks({ name, key }: RepositoryConfig): Check[] {
  if (key === undefined) return [];
  const read = async (): Promise<void> => void (await readKeyFile(secretPath(key)));
  return [[['repositories', name, 'keyFile'], read]];
}

function jobChecks({ name, hooks }: JobConfig): Check[] {
  return (['before', 'after'] as const).flatMap((when) =>
    hooks[when].map((hook, index): Check => {
      return [['jobs', name, 'hooks', when, index], () => checkProgram(hook)];
    }),
  );
}

function receiverChecks({ name, mail, webhook, command }: NotifyConfig): Check[] {
  const key = ['notify', name];
  const program: Check[] = command ? [[[...key, 'command'], () => checkProgram(command)]] : [];
  return [
    ...secretCheck([...key, 'mail', 'passwordFile'], mail?.password),
    ...caCheck([...key, 'mail', 'caFile'], mail?.caFile, 'the mail server'),
    ...secretCheck([...key, 'webhook', 'secretFile'], webhook?.secret),
    ...caCheck([...key, 'webhook', 'caFile'], webhook?.caFile, 'the server'),
    ...program,
  ];
}

function checksOf({
  path: file,
  engines,
  repositories,
  jobs,
  notify,
  metricsFile,
}: JobFile): Check[] {
  const metrics: Check[] =
    metricsFile === undefined
      ? []
      : [[['metrics', 'textfile'], () => checkFolder(path.dirname(metricsFile))]];
  return [
    [[], () => checkJobFile(file)],
    ...[...engines.values()].flatMap(engineChecks),
    ...[...repositories.values()].flatMap(repositoryChecks),
    ...[...jobs.values()].flatMap(jobChecks),
    ...[...notify.values()].flatMap(receiverChecks),
    ...metrics,
  ];
}

/** Why a run of this user could not use the files that the job file names. */
export async function checkFiles({ file, locate }: LoadedJobFile): Promise<JobFileProblem[]> {
  const problems: JobFileProblem[] = [];
  for (const [key, check] of checksOf(file)) {
    try {
      await check();
    } catch (error) {
      problems.push(problemAt(locate(key), { path: key, ...reasonOf(error) }));
    }
  }
  return problems;
}

function reasonOf(error: unknown): { readonly what: string; readonly advice: string } {
  if (error instanceof BadValue) return { what: error.message, advice: error.advice };
  if (error instanceof UsageError) return { what: error.message, advice: error.hint };
  throw error;
}
