/** The scripts of `completion`, in the shells that they are for. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { runCli } from '../helpers/cli/cli.ts';
import { ALL, isInstalled, type ShellName, TAB, typeInto } from '../helpers/cli/shells.ts';
import { tempFolderOfTest } from '../helpers/tempFolder.ts';

/** What is typed, and what it becomes. */
const CASES: readonly (readonly [string, string])[] = [
  [`ovirt-cbt bac${TAB}`, 'ovirt-cbt backup'],
  [`ovirt-cbt --vers${TAB}`, 'ovirt-cbt --version'],
  [`ovirt-cbt help prefl${TAB}`, 'ovirt-cbt help preflight'],
  [`ovirt-cbt backup --require${TAB}`, 'ovirt-cbt backup --require-consistency'],
  [`ovirt-cbt backup --mode f${TAB}`, 'ovirt-cbt backup --mode full'],
  [`ovirt-cbt backup --mode=f${TAB}`, 'ovirt-cbt backup --mode=full'],
  [`ovirt-cbt backup --mode ${ALL}`, 'ovirt-cbt backup --mode auto full incremental'],
  [`ovirt-cbt restore --format ${ALL}`, 'ovirt-cbt restore --format qcow2 raw'],
  [`ovirt-cbt stream --format ${ALL}`, 'ovirt-cbt stream --format ndjson raw'],
  [`ovirt-cbt list --log-level d${TAB}`, 'ovirt-cbt list --log-level debug'],
  [`ovirt-cbt key ${ALL}`, 'ovirt-cbt key add list new remove rotate'],
  [`ovirt-cbt files --repo r g${TAB}`, 'ovirt-cbt files --repo r get'],
  [`ovirt-cbt backup --vm ${ALL}`, 'ovirt-cbt backup --vm'],
  [`ovirt-cbt list --repo fol${TAB}`, 'ovirt-cbt list --repo folder/'],
  [`ovirt-cbt list --key-file one${TAB}`, String.raw`ovirt-cbt list --key-file one\ file`],
  [`ovirt-cbt inspect --json one${TAB}`, String.raw`ovirt-cbt inspect --json one\ file`],
  [`ovirt-cbt restore --file a.vbk b${TAB}`, 'ovirt-cbt restore --file a.vbk b.vib'],
  // Once is enough, except for options that may be repeated.
  [`ovirt-cbt list --json --js${TAB}`, 'ovirt-cbt list --json --js'],
  [`ovirt-cbt restore --disk a --dis${TAB}`, 'ovirt-cbt restore --disk a --disk'],
];

/** Shells order answers differently. */
function sorted(line: string): string {
  return line.split(' ').toSorted().join(' ');
}

const SHELLS: readonly ShellName[] = ['bash', 'zsh'];

describe.each(SHELLS)('completion in %s', (shell) => {
  it('completes commands, options, choices, files and folders', async (context) => {
    const missing = [shell, 'script'].find((program) => !isInstalled(program));
    if (missing !== undefined) context.skip(`${missing} is not installed here`);
    const folder = tempFolderOfTest();
    mkdirSync(path.join(folder, 'folder'));
    for (const name of ['one file', 'folder.txt', 'a.vbk', 'b.vib']) {
      writeFileSync(path.join(folder, name), '');
    }
    const { stdout: script } = await runCli(['completion', shell]);

    const typed = CASES.map(([line]) => line);
    const lines = await typeInto(shell, folder, script, typed);

    expect(lines.map(sorted)).toEqual(CASES.map(([, line]) => sorted(line)));
  });

  it('knows every command and every option', async () => {
    const { stdout } = await runCli(['completion', shell, '--json']);
    const { script } = JSON.parse(stdout) as { readonly script: string };

    const program = createProgram(() => {});
    const options = program.commands.flatMap((command) => command.options);
    const names = [...program.commands.map((one) => one.name()), ...options.map((one) => one.long)];
    expect(names.length).toBeGreaterThan(100);
    expect(names.filter((name) => !script.includes(name ?? ''))).toEqual([]);
  });
});

it('names the shells that have a script', async () => {
  const { exitCode, stderr } = await runCli(['completion', 'fish']);

  expect(exitCode).toBe(2);
  expect(stderr).toContain('bash, zsh');
});
