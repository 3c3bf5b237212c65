import { readFileSync } from 'node:fs';

/** The bundle lies as deep in the installation as this module, so one path fits both. */
const PACKAGE_FILE = new URL('../../package.json', import.meta.url);

/** Version of this installation. */
export function packageVersion(): string {
  return (JSON.parse(readFileSync(PACKAGE_FILE, 'utf8')) as { version: string }).version;
}
