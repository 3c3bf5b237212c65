/** Options that select VMs of an engine. */
import type { Command } from 'commander';
import { isPattern } from '../../core/namePattern.ts';
import type { VmSelection } from '../../sessions/backup/vm/vmSelection.ts';
import { collect } from './commonFlags.ts';
import { readUserFile } from '../../store/userFile.ts';

const MAX_LIST_BYTES = 16 * 1024 * 1024;

export interface VmFlags {
  readonly vm?: readonly string[];
  readonly all?: boolean;
  readonly excludeVm?: readonly string[];
  readonly search?: string;
  readonly vmFile?: string;
}

export function withVmFlags(command: Command): Command {
  return command
    .option(
      '--vm <name>',
      "VM by name or id, or by a pattern such as 'web*' (* any letters, ? one letter); may be repeated",
      collect,
    )
    .option('--all', 'all VMs that the user may see')
    .option('--exclude-vm <name>', 'not this name, id or pattern; may be repeated', collect)
    .option('--search <query>', "VMs that fit the engine's own search, such as 'cluster=prod'")
    .option(
      '--vm-file <file>',
      'file with a name, id or pattern a line; # comments; - reads stdin',
    );
}

/** True when an option names VMs. `--exclude-vm` alone names none. */
export function selectsVms({ vm, all, search, vmFile }: VmFlags): boolean {
  return vm !== undefined || all === true || search !== undefined || vmFile !== undefined;
}

/** The VM that is selected by its name alone; undefined for several VMs, and for a pattern. */
export function onlyVm({ vm, all, search, excludeVm, vmFile }: VmFlags): string | undefined {
  const [only, ...others] = vm ?? [];
  const isSelection = all ?? search ?? excludeVm ?? vmFile;
  const isPlain = only !== undefined && !isPattern(only);
  return isPlain && others.length === 0 && isSelection === undefined ? only : undefined;
}

/** Entries of a list: lines without comments and blanks around them. */
export function parseVmList(text: string): string[] {
  return text
    .split(/\r?\n/)
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .filter((line) => line !== '');
}

/** @throws UsageError `USAGE_INVALID_OPTION` for a list that cannot be read */
export async function readVmSelection(flags: VmFlags, signal: AbortSignal): Promise<VmSelection> {
  const { vm = [], all, search, excludeVm: exclude, vmFile } = flags;
  const text =
    vmFile === undefined ? '' : await readUserFile(vmFile, 'list of VMs', MAX_LIST_BYTES, signal);
  return { names: [...vm, ...parseVmList(text)], all, search, exclude };
}
