/** Completion for zsh, as a function of its completion system. */
import type {
  ArgumentModel,
  CommandModel,
  Offer,
  OptionModel,
  ProgramModel,
} from './commandModel.ts';

/** Single quotes for a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** Characters that divide the parts of a specification. */
function escaped(text: string): string {
  return text.replace(/[\\:[\]]/g, String.raw`\$&`);
}

function actionOf(offer: Offer): string {
  if (typeof offer !== 'string') return `(${offer.join(' ')})`;
  return { files: '_files', folders: '_files -/', nothing: ' ' }[offer];
}

/** A specification of `_arguments` for each name of an option. */
function optionSpecs({
  names,
  valueName,
  offer,
  isVariadic,
  mayRepeat,
  text,
}: OptionModel): string[] {
  const value = escaped(valueName.replace(/[<>[\]]/g, ''));
  const rest = isVariadic ? '*-*:' : '';
  const values = valueName === '' ? '' : `:${rest}${value}:${actionOf(offer)}`;
  const repeats = mayRepeat ? '*' : `(${names.join(' ')})`;
  return names.map((name) => {
    const takesSign = valueName !== '' && name.startsWith('--') ? '=' : '';
    return quoted(`${repeats}${name}${takesSign}[${escaped(text)}]${values}`);
  });
}

function argumentSpec({ name, offer, isVariadic }: ArgumentModel): string {
  const label = escaped(name.replace(/[<>[\]]/g, ''));
  return quoted(`${isVariadic ? '*' : ''}:${label}:${actionOf(offer)}`);
}

function commandCase({ name, options, arguments: args }: CommandModel): string {
  const specs = [...options.flatMap(optionSpecs), ...args.map(argumentSpec)];
  return [
    `    ${name})`,
    `      _arguments -S \\\n        ${specs.join(' \\\n        ')}`,
    '      ;;',
  ].join('\n');
}

/** The script. It is sourced after `compinit`, or lies in a folder of `fpath` as `_ovirt-cbt`. */
export function zshCompletion({ name, version, options, commands }: ProgramModel): string {
  const described = commands.map((one) => quoted(`${one.name}:${escaped(one.text)}`));
  return `#compdef ${name}
# Completion of ${name} ${version} for zsh. Made by "${name} completion zsh".
_ovirt_cbt() {
  local -a commands
  commands=(
    ${described.join('\n    ')}
  )
  if ((CURRENT == 2)); then
    _describe -t commands command commands
    _arguments ${options.flatMap(optionSpecs).join(' ')}
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
${commands.map(commandCase).join('\n')}
  esac
}
if [[ $funcstack[1] == _${name} ]]; then
  _ovirt_cbt "$@"
else
  compdef _ovirt_cbt ${name}
fi
`;
}
