/** Options that take one value are given once. */
import type { Command, Option } from 'commander';
import { UsageError } from '../core/errors.ts';
import { collect } from './flags/commonFlags.ts';

export function mayRepeat(option: Option): boolean {
  return option.variadic || option.parseArg === collect;
}

function takesOneValue(option: Option): boolean {
  return (option.required || option.optional) && !mayRepeat(option);
}

/**
 * Makes a command refuse an option that takes one value and is given twice. The parser alone keeps
 * the last value and says nothing. Options with `collect` and variadic ones may be repeated.
 */
export function refuseRepeats(command: Command): void {
  const counts = new Map<string, number>();
  for (const option of command.options.filter(takesOneValue)) {
    const flag = option.long ?? option.flags;
    command.on(`option:${option.name()}`, () => counts.set(flag, (counts.get(flag) ?? 0) + 1));
  }
  command.hook('preAction', () => {
    for (const [flag, count] of counts) {
      if (count === 1) continue;
      throw new UsageError(
        'USAGE_INVALID_OPTION',
        `${flag} was given ${count} times; this command takes it once`,
        { hint: 'see "ovirt-cbt --help"' },
      );
    }
  });
}
