/** Address and login of an engine, checked. Secrets come from files or the environment. */
import { UsageError } from '../core/errors.ts';
import { DEFAULT_TIMINGS, type OvirtTimings } from './timings.ts';

export interface EngineSettings {
  /** `https://engine.example/ovirt-engine`; may end with `/api`. */
  readonly url: string;
  /** User and profile, such as `admin` of `internal`: the form is `NAME@PROFILE`. */
  readonly username: string;
  readonly password: string;
  /** PEM of the CA that signs the engine and the hosts. Without it only public CAs are trusted. */
  readonly caPem?: string | undefined;
  /** @defaultValue {@link DEFAULT_TIMINGS} */
  readonly timings?: OvirtTimings | undefined;
}

export interface ResolvedSettings {
  readonly origin: string;
  /** Path of the engine without a slash at its end, such as `/ovirt-engine`. */
  readonly basePath: string;
  readonly username: string;
  readonly password: string;
  readonly caPem: string | undefined;
  readonly timings: OvirtTimings;
}

function invalid(what: string, hint: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', what, { hint });
}

function parseUrl(text: string): URL {
  try {
    return new URL(text);
  } catch {
    // The text may hold a password: keep it out of the error.
    throw invalid('the engine URL is no valid URL', 'write https://engine.example/ovirt-engine');
  }
}

const PEM = /-----BEGIN CERTIFICATE-----[\s\S]+-----END CERTIFICATE-----/;

/** Checks settings and fills in defaults. @throws {@link UsageError} `USAGE_INVALID_OPTION` */
export function resolveSettings(settings: EngineSettings): ResolvedSettings {
  const url = parseUrl(settings.url);
  if (url.protocol !== 'https:') {
    throw invalid(
      `engine URL: ${url.protocol} is not https`,
      'write the URL with https://; the engine is used over TLS only',
    );
  }
  if (url.username || url.password) {
    throw invalid(
      'the engine URL holds a user name or password',
      'use --username and --password-file, or OVIRT_USERNAME and OVIRT_PASSWORD',
    );
  }
  if (!settings.username)
    throw invalid('no user name for the engine', 'use --username or OVIRT_USERNAME');
  if (!settings.password)
    throw invalid('no password for the engine', 'use --password-file or OVIRT_PASSWORD_FILE');
  if (settings.caPem !== undefined && !PEM.test(settings.caPem)) {
    throw invalid('the CA file holds no PEM certificate', 'name the file of the engine CA');
  }
  const path = url.pathname.replace(/\/+$/, '').replace(/\/api$/, '');
  return {
    origin: url.origin,
    basePath: path === '' ? '/ovirt-engine' : path,
    username: settings.username,
    password: settings.password,
    caPem: settings.caPem,
    timings: settings.timings ?? DEFAULT_TIMINGS,
  };
}
