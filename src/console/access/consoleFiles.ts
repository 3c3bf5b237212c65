/** Files that a console needs: tokens, and the key and certificate of its TLS. */
import { UsageError } from '../../core/errors.ts';
import { checkKeyPair, type KeyPair } from '../../store/keyPair.ts';
import { MAX_SETTINGS_BYTES, readSecretFile, readUserFile } from '../../store/userFile.ts';
import type { ConsoleTokens } from './logins.ts';

const MIN_TOKEN = 16;
const MAX_TOKEN = 4096;
const TLS_HINT = '--tls-cert and --tls-key name files in PEM';

function invalid(text: string, hint: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', text, { hint });
}

export interface TokenFiles {
  /** `--token-file` */
  readonly operator?: string | undefined;
  /** `--read-only-token-file` */
  readonly readOnly?: string | undefined;
}

/**
 * Reads the tokens. Each file holds one line, of characters that fit into a header.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a file that cannot be read, that other
 *   users can read, or with a token that is too short; for no file; and when both roles have one
 *   token
 */
export async function readTokens(files: TokenFiles, signal?: AbortSignal): Promise<ConsoleTokens> {
  const operator = await readToken(files.operator, signal);
  const readOnly = await readToken(files.readOnly, signal);
  if (operator === undefined && readOnly === undefined) {
    throw invalid('a console needs a token', 'name its file with --token-file');
  }
  if (operator === readOnly) {
    const text = 'the tokens of --token-file and --read-only-token-file are the same';
    throw invalid(text, 'give each role a token of its own');
  }
  return { operator, readOnly };
}

async function readToken(
  file: string | undefined,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  if (file === undefined) return undefined;
  const token = await readSecretFile(file, 'token file', signal);
  if (/^[!-~]+$/.test(token) && token.length >= MIN_TOKEN && token.length <= MAX_TOKEN) {
    return token;
  }
  throw invalid(
    `token file ${file}: a token is one line of at least ${MIN_TOKEN} ASCII characters, without spaces`,
    `for example: (umask 077; openssl rand -hex 32 > ${file})`,
  );
}

/**
 * Reads key and certificate of a server. The key is checked as other secret files are.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`
 */
export async function readTlsFiles(
  certFile: string,
  keyFile: string,
  signal?: AbortSignal,
): Promise<KeyPair> {
  const cert = await readUserFile(certFile, 'certificate file', MAX_SETTINGS_BYTES, signal);
  const key = await readSecretFile(keyFile, 'key file', signal);
  return checkKeyPair({ file: certFile, pem: cert }, { file: keyFile, pem: key }, TLS_HINT);
}
