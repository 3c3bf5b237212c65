/** A guestfish that needs no appliance, and a guest that is a folder. */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TempFolder } from '../tempFolder.ts';

const PROGRAM = path.join(import.meta.dirname, 'fakeGuestfish.mjs');

export interface FakeGuestfish {
  /** The files of the guest. */
  readonly guest: string;
  /** The folder for temporary files of the command. */
  readonly temporary: string;
  /** For commands that use it, with more variables of the fake. */
  env(more?: NodeJS.ProcessEnv): NodeJS.ProcessEnv;
  /** What the fake has done. */
  log(): string[];
}

/** Puts the fake in front of the programs of this machine. */
export function fakeGuestfish(folder: TempFolder): FakeGuestfish {
  const [programs, guest, temporary] = ['programs', 'guest', 'tmp'].map((name) =>
    folder.path(name),
  );
  const log = folder.path('log');
  for (const made of [programs, guest, temporary]) mkdirSync(made ?? '');
  const program = path.join(programs ?? '', 'guestfish');
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${PROGRAM}'\n`);
  chmodSync(program, 0o755);
  return {
    guest: guest ?? '',
    temporary: temporary ?? '',
    env: (more = {}) => ({
      PATH: `${programs}:${process.env['PATH']}`,
      TMPDIR: temporary,
      FAKE_GUEST: guest,
      FAKE_LOG: log,
      ...more,
    }),
    log: () => (existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n') : []),
  };
}
