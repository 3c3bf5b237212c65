/** `completion`: prints a script that completes this command line in a shell. */
import { Argument, type Command } from 'commander';
import { EXIT_CODES } from '../../core/errors.ts';
import { type CommonFlags, withCommonFlags } from '../flags/commonFlags.ts';
import { CommandContext } from '../context.ts';
import { mayRepeat } from '../repeatedOptions.ts';

const SHELLS = ['bash', 'zsh'] as const;
type Shell = (typeof SHELLS)[number];

async function scriptFor(shell: Shell, program: Command): Promise<string> {
  const { describeProgram } = await import('../reference/commandModel.ts');
  const model = describeProgram(program, mayRepeat);
  if (shell === 'zsh') return (await import('../reference/zshCompletion.ts')).zshCompletion(model);
  return (await import('../reference/bashCompletion.ts')).bashCompletion(model);
}

export function addCompletion(program: Command, done: (exitCode: number) => void): void {
  withCommonFlags(program.command('completion'))
    .description('print a script that completes commands and options in a shell')
    .addArgument(new Argument('<shell>', 'whose script').choices(SHELLS))
    .action(async (shell: Shell, flags: CommonFlags) => {
      const context = new CommandContext(flags);
      const exitCode = await context.execute(async () => {
        const script = await scriptFor(shell, program);
        context.print({ type: 'completion', shell, script }, script.trimEnd());
        return EXIT_CODES.done;
      });
      done(exitCode);
    });
}
