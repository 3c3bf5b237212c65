// Settings of the engine, from the same variables as the command line.
import { readFile } from 'node:fs/promises';

export async function engineSettings() {
  const { OVIRT_URL, OVIRT_USERNAME, OVIRT_PASSWORD_FILE, OVIRT_CAFILE } = process.env;
  return {
    url: OVIRT_URL,
    username: OVIRT_USERNAME,
    password: (await readFile(OVIRT_PASSWORD_FILE, 'utf8')).trim(),
    caPem: await readFile(OVIRT_CAFILE, 'utf8'),
  };
}
