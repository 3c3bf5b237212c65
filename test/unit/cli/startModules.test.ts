/** A start loads few modules: what a command needs is loaded when it is executed. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const SRC = path.resolve(import.meta.dirname, '../../../src');

/** What a source loads at once, without types and without `import()`. */
function loadedBy(file: string): string[] {
  const source = readFileSync(path.join(SRC, file), 'utf8');
  const lines = source.matchAll(/^(?:import|export) (?!type )(?:[^;]*? from )?'([^']+)';$/gm);
  return [...lines].map(([, name = '']) =>
    name.startsWith('.') ? path.posix.join(path.posix.dirname(file), name) : name,
  );
}

/** Files of src and packages that the start of `file` loads. */
function loadedFrom(file: string): { files: string[]; packages: string[] } {
  const files = new Set([file]);
  const packages = new Set<string>();
  for (const one of files) {
    for (const name of loadedBy(one)) (name.endsWith('.ts') ? files : packages).add(name);
  }
  const named = [...packages].filter((name) => !name.startsWith('node:'));
  return { files: [...files], packages: named.toSorted() };
}

describe('the start of the command line', () => {
  const { files, packages } = loadedFrom('cli/main.ts');

  it('loads these packages', () => {
    expect(packages).toEqual(['commander', 'get-east-asian-width', 'pino', 'zod']);
  });

  it('loads little code of other folders, and none of jobs or reports', () => {
    const others = files.filter((file) => !/^(?:core|cli)\//.test(file));

    expect(others.toSorted()).toEqual([
      'sessions/shared/waitText.ts',
      'store/privateFile.ts',
      'store/userFile.ts',
    ]);
  });

  it('loads no code of completion and manual page', () => {
    expect(files.length).toBeGreaterThan(30);
    expect(files.filter((file) => file.startsWith('cli/reference/'))).toEqual([]);
  });

  it('loads no output of jobs', () => {
    expect(files.filter((file) => file.startsWith('cli/output/jobs/'))).toEqual([]);
  });
});

describe('the package', () => {
  it('has all modules of the library without those of jobs, reports and the command line', () => {
    for (const entry of ['index.ts', 'stages.ts']) {
      const { files } = loadedFrom(entry);

      expect(files.filter((file) => /^(?:jobs|report|cli)\//.test(file))).toEqual([]);
    }
  });
});

describe('a run without a queue', () => {
  it.each([
    'jobs/run/conductRun.ts',
    'jobs/daemon/liveParts.ts',
    'cli/commands/jobs/runCommand.ts',
  ])('loads no code of fleets and of the console: %s', (entry) => {
    const { files, packages } = loadedFrom(entry);

    expect(files.length).toBeGreaterThan(10);
    expect(files.filter((file) => /^(?:fleet|console)\//.test(file))).toEqual([]);
    expect(packages.filter((name) => /^(?:bullmq|ioredis|hono|@hono)/.test(name))).toEqual([]);
  });

  it('would not load the packages of the queue with that code either, before it connects', () => {
    const { files, packages } = loadedFrom('fleet/planner/fleet.ts');

    expect(files).toContain('fleet/connection.ts');
    expect(packages.filter((name) => /^(?:bullmq|ioredis)/.test(name))).toEqual([]);
  });
});

describe('a plain backup', () => {
  it.each(['sessions/backup/backupVms.ts', 'sessions/backup/backupImages.ts'])(
    'loads no code of jobs: %s',
    (entry) => {
      const { files, packages } = loadedFrom(entry);

      expect(files.length).toBeGreaterThan(50);
      expect(files.filter((file) => /^(?:jobs|report|cli)\//.test(file))).toEqual([]);
      expect(packages.filter((name) => /^(?:yaml|croner|nodemailer)/.test(name))).toEqual([]);
    },
  );
});
