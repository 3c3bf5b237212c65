/**
 * Connection settings: from flags, then from environment variables, then from a file. Arguments
 * never hold secrets, because other users can see them.
 */
import type { Command } from 'commander';
import { z } from 'zod';
import { UsageError } from '../../core/errors.ts';
import type { EngineSettings } from '../../ovirt/connection.ts';
import {
  MAX_SETTINGS_BYTES,
  readCaFile,
  readSecretFile,
  readUserFile,
} from '../../store/userFile.ts';

export interface EngineFlags {
  readonly url?: string | undefined;
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly caFile?: string | undefined;
  readonly config?: string | undefined;
}

export const ENVIRONMENT_HELP = `
Connection settings are flags, environment variables or a file, in this order:
  --url            OVIRT_URL            https://engine.example/ovirt-engine
  --username       OVIRT_USERNAME       admin@internal, admin@ovirt@internalsso
  --password-file  OVIRT_PASSWORD_FILE  file with the password; or OVIRT_PASSWORD, the password itself
  --ca-file        OVIRT_CAFILE         certificate of the CA of the engine
  --config         OVIRT_CONFIG         JSON file: {"url", "username", "passwordFile", "caFile"}
The repository: --repo, or OVIRT_REPO. Proxy variables (https_proxy …) are ignored.`;

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

async function readConfig(
  file: string | undefined,
  signal: AbortSignal | undefined,
): Promise<z.infer<typeof configSchema>> {
  if (file === undefined) return {};
  const text = await readUserFile(file, 'configuration file', MAX_SETTINGS_BYTES, signal);
  try {
    return configSchema.parse(JSON.parse(text));
  } catch {
    throw unusable(
      `configuration file ${file} is not understood`,
      'write JSON with "url", "username", "passwordFile" and "caFile"; the password is in a separate file',
    );
  }
}

/** Tells all missing settings at once, so that nobody has to find them one by one. */
function checkComplete(given: Readonly<Record<string, boolean>>, hasCa: boolean): void {
  const missing = Object.keys(given).filter((name) => given[name] !== true);
  if (missing.length === 0) return;
  const ca = hasCa
    ? ''
    : '; engines with a CA of their own, as oVirt makes one, need --ca-file or OVIRT_CAFILE too';
  throw unusable(
    `connection settings are missing: ${missing.join(', ')}`,
    `see "ovirt-cbt --help"${ca}`,
  );
}

/**
 * @param signal - ends the wait for a file that is stdin or a named pipe.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`
 */
export async function readEngineSettings(
  flags: EngineFlags,
  environment: NodeJS.ProcessEnv = process.env,
  signal?: AbortSignal,
): Promise<EngineSettings> {
  const {
    OVIRT_URL,
    OVIRT_USERNAME,
    OVIRT_PASSWORD,
    OVIRT_PASSWORD_FILE,
    OVIRT_CAFILE,
    OVIRT_CONFIG,
  } = environment;
  const config = await readConfig(flags.config ?? OVIRT_CONFIG, signal);
  const url = flags.url ?? OVIRT_URL ?? config.url ?? '';
  const username = flags.username ?? OVIRT_USERNAME ?? config.username ?? '';
  const named = flags.passwordFile ?? OVIRT_PASSWORD_FILE;
  const passwordFile = named ?? (OVIRT_PASSWORD === undefined ? config.passwordFile : undefined);
  const caFile = flags.caFile ?? OVIRT_CAFILE ?? config.caFile;
  const given = {
    '--url or OVIRT_URL': url !== '',
    '--username or OVIRT_USERNAME': username !== '',
    '--password-file or OVIRT_PASSWORD_FILE': Boolean(passwordFile ?? OVIRT_PASSWORD),
  };
  checkComplete(given, caFile !== undefined);
  const password =
    passwordFile === undefined
      ? (OVIRT_PASSWORD ?? '')
      : await readSecretFile(passwordFile, 'password file', signal);
  const caPem = caFile === undefined ? undefined : await readCaFile(caFile, 'the engine', signal);
  return { url, username, password, caPem };
}
