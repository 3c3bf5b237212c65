/** Secrets of a job file: from the credentials of a systemd unit, or from the files it names. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { readSecretFile } from '../../store/userFile.ts';
import type { SecretFile } from '../jobFile.ts';

/**
 * The file that holds a secret: the credential of its name where systemd gives one, else the file
 * that the job file names.
 */
export function secretPath(
  { path: file, credential }: SecretFile,
  environment: NodeJS.ProcessEnv = process.env,
): string {
  const { CREDENTIALS_DIRECTORY: folder } = environment;
  if (folder === undefined || folder === '') return file;
  const given = path.join(folder, credential);
  return existsSync(given) ? given : file;
}

/** A credential that systemd gives to this unit; undefined when there is none of this name. */
export function findCredential(
  credential: string,
  environment: NodeJS.ProcessEnv = process.env,
): string | undefined {
  const found = secretPath({ path: '', credential }, environment);
  return found === '' ? undefined : found;
}

/**
 * Reads a secret of one line. Errors name its file, never its content.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` when the file cannot be read, is too large, or
 *   when other users can read it
 */
export async function readSecret(
  secret: SecretFile,
  environment: NodeJS.ProcessEnv = process.env,
  signal?: AbortSignal,
): Promise<string> {
  return await readSecretFile(secretPath(secret, environment), 'secret file', signal);
}
