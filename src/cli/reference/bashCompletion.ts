/** Completion for bash 4.4 and newer. It needs no package of helpers. */
import type { CommandModel, Offer, OptionModel, ProgramModel } from './commandModel.ts';

/** Single quotes for a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function namesOf(options: readonly OptionModel[]): string {
  return quoted(options.flatMap(({ names }) => names).join(' '));
}

function isWords(offer: Offer): offer is readonly string[] {
  return typeof offer !== 'string';
}

/** The tables of a command. */
function commandCase({ name, options, arguments: args }: CommandModel): string {
  const offers = args.map(({ offer }) => offer);
  const lines = [
    `options=${namesOf(options)}`,
    `repeatable=${namesOf(options.filter(({ mayRepeat }) => mayRepeat))}`,
    `variadic=${namesOf(options.filter(({ isVariadic }) => isVariadic))}`,
    `actions=${quoted(offers.filter(isWords).flat().join(' '))}`,
    `arguments=${offers.find((offer) => typeof offer === 'string') ?? ''}`,
  ].filter((line) => !/=(?:'')?$/.test(line));
  return [`    ${name})`, ...lines.map((line) => `      ${line}`), '      ;;'].join('\n');
}

/** Option → what is offered for its value → commands with this offer. */
function valueOffers(commands: readonly CommandModel[]): Map<string, Map<string, string[]>> {
  const offers = new Map<string, Map<string, string[]>>();
  for (const command of commands) {
    for (const { names, offer, valueName } of command.options) {
      if (valueName === '') continue;
      const text = isWords(offer) ? `words=${quoted(offer.join(' '))}` : `offer=${offer}`;
      for (const name of names) {
        const ofName = offers.get(name) ?? new Map<string, string[]>();
        offers.set(name, ofName.set(text, [...(ofName.get(text) ?? []), command.name]));
      }
    }
  }
  return offers;
}

/** Patterns of `COMMAND OPTION`, one line for all that offer the same. */
function valueCases(commands: readonly CommandModel[]): string {
  const patterns = new Map<string, string[]>();
  for (const [option, offers] of valueOffers(commands)) {
    for (const [text, names] of offers) {
      const isSame = offers.size === 1;
      const own = isSame ? [`*' ${option}'`] : names.map((name) => `'${name} ${option}'`);
      patterns.set(text, [...(patterns.get(text) ?? []), ...own]);
    }
  }
  return [...patterns].map(([text, own]) => `    ${own.join(' | ')}) ${text} ;;`).join('\n');
}

/** The script. It is sourced, or lies in a folder of completions under the name of the program. */
export function bashCompletion({ name, version, options, commands }: ProgramModel): string {
  const commandNames = commands.map((command) => command.name).join(' ');
  return `# Completion of ${name} ${version} for bash. Made by "${name} completion bash".
_ovirt_cbt() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]}
  local command=\${COMP_WORDS[1]} given=" \${COMP_WORDS[*]:2:COMP_CWORD - 2} " option='' i word
  local options='' repeatable='' variadic='' actions='' arguments='' offer='' words=''
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W ${quoted(commandNames)}\\ ${namesOf(options)} -- "$current")
    return
  fi
  case $command in
${commands.map(commandCase).join('\n')}
    *) return ;;
  esac

  # bash takes --option=value for three words, and the colon of s3:// for a word.
  [[ $current == : || $previous == : ]] && return
  if [[ $current == = ]]; then
    option=$previous current=''
  elif [[ $previous == = ]]; then
    option=\${COMP_WORDS[COMP_CWORD - 2]}
  elif [[ $previous == -* ]]; then
    option=$previous
  else
    for ((i = COMP_CWORD - 1; i > 1; i--)); do
      [[ \${COMP_WORDS[i]} == -* ]] || continue
      [[ " $variadic " == *" \${COMP_WORDS[i]} "* ]] && option=\${COMP_WORDS[i]}
      break
    done
  fi
  [[ $current == -* ]] && option=''
  case "$command $option" in
${valueCases(commands)}
  esac

  if [[ -z $offer && -z $words ]]; then
    for word in $actions; do
      [[ $given == *" $word "* ]] && actions=''
    done
    if [[ $current != -* && -n $actions ]]; then
      words=$actions
    elif [[ $current != -* && -n $arguments ]]; then
      offer=$arguments
    else
      for word in $options; do
        [[ $given == *" $word "* && " $repeatable " != *" $word "* ]] || words+=" $word"
      done
    fi
  fi
  case $offer in
    files) compopt -o default ;;
    folders) compopt -o dirnames ;;
    nothing) ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
  esac
}
complete -F _ovirt_cbt ${name}
`;
}
