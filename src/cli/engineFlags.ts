/**
 * Connection settings: from flags, then from environment variables, then from a file. Arguments
 * never hold secrets, because other users can see them.
 */
import { readFile, stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { z } from 'zod';
import { errnoOf, UsageError } from '../core/errors.ts';
import type { EngineSettings } from '../ovirt/connection.ts';

export interface EngineFlags {
  readonly url?: string | undefined;
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly caFile?: string | undefined;
  readonly config?: string | undefined;
}

const MAX_SECRET_BYTES = 64 * 1024;
const OTHERS = 0o077;

export const ENVIRONMENT_HELP = `
Connection settings are flags, environment variables or a file, in this order:
  --url            OVIRT_URL            https://engine.example/ovirt-engine
  --username       OVIRT_USERNAME       admin@internal, admin@ovirt@internalsso
  --password-file  OVIRT_PASSWORD_FILE  file with the password; or OVIRT_PASSWORD, the password itself
  --ca-file        OVIRT_CAFILE         certificate of the CA of the engine
  --config         OVIRT_CONFIG         JSON file: {"url", "username", "passwordFile", "caFile"}`;

export function withEngineFlags(command: Command): Command {
  return command
    .option('--url <url>', 'engine (OVIRT_URL)')
    .option('--username <name>', 'user of the engine (OVIRT_USERNAME)')
    .option('--password-file <file>', 'file with the password (OVIRT_PASSWORD_FILE)')
    .option('--ca-file <file>', 'certificate of the CA of the engine (OVIRT_CAFILE)')
    .option('--config <file>', 'JSON file with connection settings (OVIRT_CONFIG)')
    .addHelpText('after', ENVIRONMENT_HELP);
}

const configSchema = z.strictObject({
  url: z.string().optional(),
  username: z.string().optional(),
  passwordFile: z.string().optional(),
  caFile: z.string().optional(),
});

function unusable(what: string, hint: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', what, { hint });
}

async function readText(file: string, what: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > MAX_SECRET_BYTES) throw unusable(`${what} ${file} is too large`, 'check its name');
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw unusable(`${what} ${file}: ${errnoOf(error) ?? 'cannot be read'}`, 'check its name');
  }
}

async function readConfig(file: string | undefined): Promise<z.infer<typeof configSchema>> {
  if (file === undefined) return {};
  const text = await readText(file, 'configuration file');
  try {
    return configSchema.parse(JSON.parse(text));
  } catch {
    throw unusable(
      `configuration file ${file} is not understood`,
      'write JSON with "url", "username", "passwordFile" and "caFile"; the password is in a separate file',
    );
  }
}

/** Refuses a password file that other users can read, as ssh does with keys. */
async function readPassword(file: string): Promise<string> {
  const text = await readText(file, 'password file');
  const { mode, isFile } = await stat(file).then((info) => ({
    mode: info.mode,
    isFile: info.isFile(),
  }));
  // A pipe, for example from `<(command)` in a shell, belongs to this process alone.
  if (isFile && mode % (OTHERS + 1) !== 0) {
    throw unusable(`password file ${file} can be read by other users`, `run: chmod 600 ${file}`);
  }
  return text.replace(/\r?\n$/, '');
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` */
export async function readEngineSettings(
  flags: EngineFlags,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<EngineSettings> {
  const {
    OVIRT_URL,
    OVIRT_USERNAME,
    OVIRT_PASSWORD,
    OVIRT_PASSWORD_FILE,
    OVIRT_CAFILE,
    OVIRT_CONFIG,
  } = environment;
  const config = await readConfig(flags.config ?? OVIRT_CONFIG);
  const url = flags.url ?? OVIRT_URL ?? config.url;
  if (!url) throw unusable('no engine given', 'use --url or OVIRT_URL');
  const username = flags.username ?? OVIRT_USERNAME ?? config.username ?? '';
  const named = flags.passwordFile ?? OVIRT_PASSWORD_FILE;
  const passwordFile = named ?? (OVIRT_PASSWORD === undefined ? config.passwordFile : undefined);
  const password =
    passwordFile === undefined ? (OVIRT_PASSWORD ?? '') : await readPassword(passwordFile);
  const caFile = flags.caFile ?? OVIRT_CAFILE ?? config.caFile;
  const caPem = caFile === undefined ? undefined : await readText(caFile, 'CA file');
  return { url, username, password, caPem };
}
