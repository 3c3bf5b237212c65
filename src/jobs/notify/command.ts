/** Commands that get notifications: JSON on stdin, the main facts as variables. */
import type { HookConfig } from '../jobFile.ts';
import { programProblem, runProgram } from '../program.ts';
import { type DeliveryContext, DeliveryFailure } from './delivery.ts';
import type { Notice } from './notice.ts';

/** Without its arguments: they may hold secrets. */
export function programOf({ command }: HookConfig): string {
  return command[0] ?? '';
}

/**
 * Runs the command once.
 *
 * @throws {@link DeliveryFailure}
 */
export async function runCommand(
  config: HookConfig,
  { payload }: Notice,
  { signal, logger }: DeliveryContext,
): Promise<void> {
  const { command, timeoutMs } = config;
  const environment = {
    OVIRT_CBT_EVENT: payload.event,
    OVIRT_CBT_JOB: payload.job,
    OVIRT_CBT_TEXT: payload.text,
    ...(payload.run
      ? { OVIRT_CBT_RUN_ID: payload.run.runId, OVIRT_CBT_OUTCOME: payload.run.outcome }
      : {}),
  };
  const stdin = `${JSON.stringify(payload)}\n`;
  const result = await runProgram({ command, timeoutMs, environment, stdin, signal });
  logger.debug({ program: programOf(config), output: result.output }, 'output of a command');
  const reason = programProblem(result, timeoutMs);
  if (reason !== undefined) throw new DeliveryFailure(reason);
}
