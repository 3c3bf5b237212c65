/**
 * The commands and options as plain data. Completion scripts and the manual page are made of it, so
 * they always fit the parser.
 */
import type { Argument, Command, Option } from 'commander';

/** A shell offers this for a value: these words, names of files or folders, or nothing. */
export type Offer = readonly string[] | 'files' | 'folders' | 'nothing';

export interface OptionModel {
  /** Short name first, for example `['-h', '--help']`. */
  readonly names: readonly string[];
  /** As in the help, for example `<file...>`; empty for an option without a value. */
  readonly valueName: string;
  readonly offer: Offer;
  /** May be given more than once. */
  readonly mayRepeat: boolean;
  /** Takes all following words up to the next option. */
  readonly isVariadic: boolean;
  readonly isRequired: boolean;
  readonly text: string;
  /** Empty when there is none, or when the text tells it. */
  readonly defaultValue: string;
  /** Environment variable with the value, or empty. */
  readonly variable: string;
}

export interface ArgumentModel {
  /** As in the help, for example `[paths...]`. */
  readonly name: string;
  readonly offer: Offer;
  readonly isVariadic: boolean;
  readonly text: string;
}

export interface CommandModel {
  readonly name: string;
  readonly text: string;
  readonly options: readonly OptionModel[];
  readonly arguments: readonly ArgumentModel[];
}

export interface ProgramModel {
  readonly name: string;
  readonly text: string;
  readonly version: string;
  readonly options: readonly OptionModel[];
  readonly commands: readonly CommandModel[];
}

/** Names of values in the help, and what they are. Other names are no paths. */
const PATHS: Readonly<Record<string, 'files' | 'folders'>> = {
  file: 'files',
  files: 'files',
  path: 'files',
  dir: 'folders',
  folder: 'folders',
};

function offerOf(valueName: string, choices: readonly string[] | undefined): Offer {
  if (choices) return choices;
  return PATHS[valueName.replace(/[^\w-]/g, '').toLowerCase()] ?? 'nothing';
}

function describeOption(option: Option, mayRepeat: (option: Option) => boolean): OptionModel {
  const { short, long, flags, argChoices, defaultValue, envVar } = option;
  const valueName = /[<[].*$/.exec(flags)?.[0] ?? '';
  return {
    names: [short, long].filter((name) => name != null),
    valueName,
    offer: offerOf(valueName, argChoices),
    mayRepeat: mayRepeat(option),
    isVariadic: option.variadic,
    isRequired: option.mandatory && defaultValue === undefined,
    text: option.description,
    // That of a negated option says nothing to a user.
    defaultValue: defaultValue === undefined || option.negate ? '' : String(defaultValue),
    variable: envVar ?? '',
  };
}

/** @param commands - names of all commands, for the argument of `help`. */
function describeArgument(argument: Argument, commands: readonly string[]): ArgumentModel {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
  const choices = argument.name() === 'command' ? commands : argument.argChoices;
  return {
    name: argument.required ? `<${name}>` : `[${name}]`,
    offer: offerOf(argument.name(), choices),
    isVariadic: argument.variadic,
    text: argument.description,
  };
}

/**
 * @param mayRepeat - tells options that may be given more than once. It is of the caller: a module
 *   that this one and the start of the command line share would be a file of its own in the bundle.
 */
export function describeProgram(
  program: Command,
  mayRepeat: (option: Option) => boolean,
): ProgramModel {
  const optionsOf = (command: Command): OptionModel[] => {
    const visible = command.createHelp().visibleOptions(command);
    return visible.map((option) => describeOption(option, mayRepeat));
  };
  const commands = program.createHelp().visibleCommands(program);
  const names = commands.map((command) => command.name());
  return {
    name: program.name(),
    text: program.description(),
    version: program.version() ?? '',
    options: optionsOf(program),
    commands: commands.map((command) => ({
      name: command.name(),
      text: command.description(),
      options: optionsOf(command),
      arguments: command.registeredArguments.map((argument) => describeArgument(argument, names)),
    })),
  };
}
