/** Runs the commands and compares the facts of the documents, so that they stay true. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { ERROR_CODES, EXIT_CODES } from '../../src/core/errors.ts';
import * as mainEntry from '../../src/index.ts';
import { MESSAGE_CODES, sessionMessage } from '../../src/core/messages.ts';
import * as stagesEntry from '../../src/stages.ts';
import { addSampleVms, startLab } from '../../lab/src/index.ts';
import { noise } from '../helpers/bytes/random.ts';
import { tempFolderOfTest } from '../helpers/tempFolder.ts';

const run = promisify(execFile);

const ROOT = path.resolve(import.meta.dirname, '../..');
const CLI = path.join(ROOT, 'dist/cli/launch.cjs');
const LIBRARY = pathToFileURL(path.join(ROOT, 'dist/index.js')).href;

const STAGES = pathToFileURL(path.join(ROOT, 'dist/stages.js')).href;

/** Slow enough that tickets do not expire between two requests on a busy machine. */
const LAB_TIME_SCALE = 0.01;
const LAB = pathToFileURL(path.join(ROOT, 'lab/dist/index.js')).href;

function read(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8');
}

/** Contents of the fenced blocks of a language. */
function fenced(file: string, language: string): string[] {
  const pattern = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms');
  return [...read(file).matchAll(pattern)].map((match) => match[1] ?? '');
}

function withoutComment(line: string): string {
  return line.replace(/\s+#.*$/, '').trim();
}

function folderWithDisk(): string {
  const folder = tempFolderOfTest();
  const content = Buffer.concat([Buffer.alloc(2 << 20, 'text '), noise(1, 99_999)]);
  writeFileSync(path.join(folder, 'disk.raw'), content);
  return folder;
}

/** `A=1 B=2` as an object. */
function variables(text: string): Record<string, string> {
  return Object.fromEntries(
    text
      .trim()
      .split(/\s+/)
      .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
}

function runExample(code: string, cwd: string, env: NodeJS.ProcessEnv = {}): string {
  const file = path.join(cwd, 'example.mjs');
  const local = code
    .replaceAll("'ovirt-cbt'", `'${LIBRARY}'`)
    .replaceAll("'ovirt-cbt/stages'", `'${STAGES}'`)
    .replaceAll("'ovirt-cbt-lab'", `'${LAB}'`);
  writeFileSync(file, local);
  return execFileSync(process.execPath, [file], {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
}

describe('README', () => {
  const commands = fenced('README.md', 'sh')
    .flatMap((block) => block.split('\n'))
    .map(withoutComment);

  it('has product commands that work one after the other', async () => {
    const cwd = folderWithDisk();
    const ours = commands.filter((line) => line.startsWith('npx ovirt-cbt '));
    await using lab = await startLab({ timeScale: LAB_TIME_SCALE });
    addSampleVms(lab);
    writeFileSync(path.join(cwd, 'ca.pem'), lab.caPem);
    writeFileSync(path.join(cwd, 'password'), lab.password, { mode: 0o600 });
    const [, settings = ''] = commands.find((line) => /CAFILE/.test(line))?.split('export ') ?? [];
    const env = { ...process.env, ...variables(settings), OVIRT_URL: lab.url };
    expect(ours.length).toBeGreaterThan(8);

    for (const line of ours) {
      const args = line.split(/\s+/).slice(2);
      await run(process.execPath, [CLI, ...args], {
        cwd,
        env: { ...env, OVIRT_USERNAME: lab.username },
      });
    }

    const restored = readFileSync(path.join(cwd, 'images/disk.raw.qcow2'));
    expect(restored.length).toBeGreaterThan(0);
    expect(lab.vms.map((vm) => vm.name)).toContain('web01-new');
    expect(lab.leftovers()).toEqual([]);
  });

  it('has two npm commands, which the gate runs', () => {
    const npm = commands.filter((line) => line.startsWith('npm '));

    expect(npm).toEqual(['npm ci && npm run demo', 'npm ci && npm test']);
    const gate = read('.ci/run');
    expect(gate).toMatch(/^npm ci$/m);
    expect(gate).toMatch(/^npm run demo$/m);
    expect(gate).toMatch(/npm test\b/);
  });

  it('has a library example that runs', () => {
    const [example = ''] = fenced('README.md', 'js');
    const before = `
      import { scaleTimings } from 'ovirt-cbt';
      import { addSampleVms, startLab } from 'ovirt-cbt-lab';
      const lab = await startLab();
      addSampleVms(lab);
      const { url, username, password, caPem } = lab;
      const engine = { url, username, password, caPem, timings: scaleTimings(0.01) };
      const seen = { put: 0, zero: 0 };
      const archive = { put: async () => seen.put++, zero: async () => seen.zero++ };
      let since;
    `;
    const after = 'await lab.close(); console.log(seen.put > 5, seen.zero > 5, since.length);';
    const cwd = tempFolderOfTest();

    expect(runExample(`${before}${example}${after}`, cwd, { TMPDIR: cwd })).toBe('true true 36\n');
  });
});

describe('documents', () => {
  const folders = ['', 'docs'].flatMap((folder) =>
    readdirSync(path.join(ROOT, folder)).map((name) => path.join(folder, name)),
  );
  // ARCHITECTURE.md draws the tree of the sources in a form of its own.
  const documents = folders.filter((name) => name.endsWith('.md') && name !== 'ARCHITECTURE.md');

  it.each(documents)('name only files that exist: %s', (document) => {
    const paths = read(document).match(/(?<![\w./-])(?:src|test|lab)\/[\w./-]*\w\/?/g) ?? [];

    expect(paths.filter((name) => !existsSync(path.join(ROOT, name)))).toEqual([]);
  });
});

describe('docs/troubleshooting.md', () => {
  const ofEngines = MESSAGE_CODES.filter((code) => /^(CBT|FLT|SNP|XFER|FRZ|JOB|NIC)-/.test(code));

  it.each(ofEngines)('gives text, cause and resolution of %s', (code) => {
    const { level, text, resolution } = sessionMessage(code);
    const section = read('docs/troubleshooting.md')
      .split('\n## ')
      .find((part) => part.startsWith(code));

    expect(section).toContain(`${code} (${level})\n\n> ${text}\n\n- **Cause:** `);
    expect(section).toContain(
      `- **What to do:** ${resolution === 'None.' ? 'Nothing.' : resolution}`,
    );
  });
});

describe('docs/library.md', () => {
  const examples = fenced('docs/library.md', 'js');
  const outputs = fenced('docs/library.md', 'text');

  it.each(examples.map((_, k) => k))('has example %d, which prints what it says', (k) => {
    expect(runExample(examples[k] ?? '', tempFolderOfTest())).toBe(outputs[k]);
  });

  it.each([
    ['Names of the main entry', mainEntry],
    ['Stages', stagesEntry],
  ])('lists every name in the section %s', (title, entry) => {
    const section = read('docs/library.md')
      .split(/^## /m)
      .find((part) => part.startsWith(`${title}\n`));
    const named = [...(section ?? '').matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1] ?? '');

    expect(named.toSorted()).toEqual(Object.keys(entry).toSorted());
  });

  it('has about twenty names in the main entry', () => {
    expect(Object.keys(mainEntry).length).toBeLessThanOrEqual(23);
  });
});

describe('docs/errors.md', () => {
  const text = read('docs/errors.md');

  it.each(ERROR_CODES)('describes %s', (code) => {
    expect(text).toContain(`| \`${code}\` |`);
  });

  it.each(MESSAGE_CODES)('describes %s with its level', (code) => {
    expect(text).toContain(`| ${code} | ${sessionMessage(code).level} |`);
  });

  it('names no code that does not exist', () => {
    const named = [...text.matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1]);

    expect(new Set(named)).toEqual(new Set(ERROR_CODES));
  });

  it.each(Object.values(EXIT_CODES))('describes exit code %d', (code) => {
    expect(text).toContain(`| ${code} |`);
  });
});

describe('docs/cli.md', () => {
  const text = read('docs/cli.md');
  const program = createProgram(() => {});

  it.each(program.commands.map((command) => command.name()))('describes %s', (name) => {
    expect(text).toContain(`ovirt-cbt ${name}`);
  });

  it.each(
    program.commands.flatMap((command) =>
      command.options.map((option) => `${command.name()} ${option.long}`),
    ),
  )('describes %s', (pair) => {
    expect(text).toContain(pair.split(' ')[1]);
  });
});
