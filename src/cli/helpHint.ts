/** Hints that point to a help text name the help of the command in use. */

const GENERAL_HELP = '"ovirt-cbt --help"';

let command = '';

/** @param name - of the command that is executed now; empty when there is none. */
export function useHelpOf(name: string): void {
  command = name;
}

/** A hint with the help of the command in place of the general one. */
export function withCommandHelp(hint: string): string {
  if (command === '') return hint;
  return hint.replace(GENERAL_HELP, `"ovirt-cbt ${command} --help"`);
}
