/** The manual page, in the language of man(7). */
import type { CommandModel, OptionModel, ProgramModel } from './commandModel.ts';
import { DESCRIPTION, EXAMPLES, FILES, SEE_ALSO, VARIABLES } from './manTexts.ts';

/** Facts that are not in the commands. */
export interface ManPageFacts {
  /** `YYYY-MM-DD`, for the foot of the page. */
  readonly date: string;
  readonly exitCodes: readonly (readonly [code: number, meaning: string])[];
}

/** Linters complain about longer lines. */
const MOST_LINE_BYTES = 78;

/** A word or line with nothing that troff takes for a request, an escape or a ligature. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', String.raw`\e`)
    .replaceAll('-', String.raw`\-`)
    .replace(/^[.']/, String.raw`\&$&`)
    .replace(/[^\0-\x7f]/gu, (sign) => {
      const code = (sign.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
      return `\\[u${code}]`;
    });
}

/** Escapes a paragraph, and folds its lines. A word may come to the beginning of a line. */
function paragraph(text: string): string {
  const lines = text.split('\n').map((line) => {
    const folded: string[] = [];
    for (const word of line.split(' ').map(escaped)) {
      const longer = `${folded.at(-1)} ${word}`;
      if (folded.length === 0 || longer.length > MOST_LINE_BYTES) folded.push(word);
      else folded[folded.length - 1] = longer;
    }
    return folded.join('\n');
  });
  return lines.join('\n');
}

function bold(text: string): string {
  return `\\fB${escaped(text)}\\fR`;
}

function italic(text: string): string {
  return `\\fI${escaped(text)}\\fR`;
}

function item(head: string, text: string): string {
  return `.TP\n${head}\n${paragraph(text)}`;
}

function section(title: string, ...parts: readonly string[]): string {
  return [`.SH ${escaped(title)}`, ...parts].join('\n');
}

/** A sentence of each fact that the text of the option does not hold. */
function optionText({ text, offer, defaultValue, isRequired, variable }: OptionModel): string {
  const sentences = [
    text,
    typeof offer === 'string' ? '' : `Values: ${offer.join(', ')}`,
    defaultValue === '' || text.includes('default:') ? '' : `Default: ${defaultValue}`,
    isRequired ? 'Required' : '',
    variable === '' ? '' : `Variable: ${variable}`,
  ];
  return sentences
    .filter((sentence) => sentence !== '')
    .map((sentence) => `${sentence}.`)
    .join('\n');
}

function option(model: OptionModel): string {
  const names = model.names.map(bold).join(', ');
  const value = model.valueName === '' ? '' : ` ${italic(model.valueName)}`;
  return item(`${names}${value}`, optionText(model));
}

/** Options that every command has. */
function commonOptions(commands: readonly CommandModel[]): readonly OptionModel[] {
  const [first, ...others] = commands.filter(({ options }) => options.length > 0);
  const isEverywhere = ({ names }: OptionModel): boolean =>
    others.every(({ options }) => options.some((one) => one.names.join() === names.join()));
  return first?.options.filter(isEverywhere) ?? [];
}

function command(model: CommandModel, common: ReadonlySet<string>): string {
  const args = model.arguments.map(({ name }) => italic(name));
  const own = model.options.filter(({ names }) => !common.has(names.join()));
  const words = [bold(model.name), ...args, ...(own.length > 0 ? [italic('[options]')] : [])];
  return [
    `.SS "${words.join(' ')}"`,
    paragraph(`${model.text}.`),
    ...model.arguments
      .filter(({ text }) => text !== '')
      .map(({ name, text, offer }) => {
        const values = typeof offer === 'string' ? '' : `: ${offer.join(', ')}`;
        return item(italic(name), `${text}${values}.`);
      }),
    ...own.map(option),
  ].join('\n');
}

/** Variables that give the value of an option, then the others. */
function variables(commands: readonly CommandModel[]): string[] {
  const values = new Map<string, string>();
  for (const { names, variable, text } of commands.flatMap(({ options }) => options)) {
    const name = variable === '' ? /\((OVIRT_\w+)\)/.exec(text)?.[1] : variable;
    if (name !== undefined) values.set(name, `value of ${names.at(-1)}.`);
  }
  const all = [...values, ...VARIABLES].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return all.map(([name, text]) => item(bold(name), text));
}

export function manPage(program: ProgramModel, facts: ManPageFacts): string {
  const { name, version, text, commands } = program;
  const shared = commonOptions(commands);
  const names = new Set(shared.map((one) => one.names.join()));
  const exits = facts.exitCodes.map(([code, meaning]) => item(bold(String(code)), `${meaning}.`));
  const examples = EXAMPLES.map(
    ([why, line]) => `.TP\n${escaped(why)}\n.nf\n${escaped(line)}\n.fi`,
  );
  return `${[
    String.raw`.\" Made from the commands by the build.`,
    `.TH ${escaped(name.toUpperCase())} 1 "${facts.date}" "${escaped(`${name} ${version}`)}" "User Commands"`,
    section('NAME', paragraph(`${name} - ${text}`)),
    section('SYNOPSIS', `${bold(name)} ${italic('command')} ${italic('[options]')}`),
    section('DESCRIPTION', DESCRIPTION.map(paragraph).join('\n.PP\n')),
    section('OPTIONS OF EVERY COMMAND', ...shared.map(option)),
    section('COMMANDS', ...commands.map((one) => command(one, names))),
    section('EXIT STATUS', ...exits),
    section('ENVIRONMENT', ...variables(commands)),
    section('FILES', ...FILES.map(([file, meaning]) => item(italic(file), meaning))),
    section('EXAMPLES', ...examples),
    section('SEE ALSO', paragraph(SEE_ALSO)),
  ].join('\n')}\n`;
}
