/** Delivers notices by all ways of their receivers, at the same time. */
import { BackupError } from '../../core/errors.ts';
import { type MessageCode, type SessionMessage, sessionMessage } from '../../core/messages.ts';
import type { NotifyConfig } from '../jobFile.ts';
import { programOf, runCommand } from './command.ts';
import { type DeliveryContext, DeliveryFailure } from './delivery.ts';
import { mailServer, sendMail } from './mail.ts';
import type { Notice } from './notice.ts';
import { callWebhook, webhookServer } from './webhook.ts';

/** A notice and the receiver that gets it. */
export interface Told {
  readonly receiver: NotifyConfig;
  readonly notice: Notice;
}

export interface Delivery {
  readonly receiver: string;
  readonly way: 'mail' | 'webhook' | 'command';
  /** Server or program, without secrets. */
  readonly target: string;
  /** Tells what did not arrive; undefined when all did. */
  readonly failure: SessionMessage | undefined;
}

/** One way of a receiver. */
interface Way {
  readonly receiver: string;
  readonly way: Delivery['way'];
  readonly target: string;
  readonly code: MessageCode;
  /** For a failure without a hint of its own. */
  readonly hint: string;
  /** @returns addresses that the server refused, while it took others. */
  readonly send: () => Promise<readonly string[]>;
}

function waysOf({ receiver, notice }: Told, context: DeliveryContext): Way[] {
  const { name, mail, webhook, command } = receiver;
  const ways: Way[] = [];
  if (mail) {
    ways.push({
      receiver: name,
      way: 'mail',
      target: mailServer(mail),
      code: 'NTF-901',
      hint: 'Check the mail server and its settings in the job file.',
      send: async () => await sendMail(mail, notice, context),
    });
  }
  if (webhook) {
    ways.push({
      receiver: name,
      way: 'webhook',
      target: webhookServer(webhook),
      code: 'NTF-902',
      hint: 'Check the server of the webhook and the settings in the job file.',
      send: async () => await callWebhook(webhook, notice, context).then(() => []),
    });
  }
  if (command) {
    ways.push({
      receiver: name,
      way: 'command',
      target: programOf(command),
      code: 'NTF-903',
      hint: 'Check the command in the job file.',
      send: async () => await runCommand(command, notice, context).then(() => []),
    });
  }
  return ways;
}

/** Texts of unknown errors are not shown: they may hold what was sent. */
function reasonOf(error: unknown, signal: AbortSignal | undefined): string {
  if (signal?.aborted) return 'the run was stopped';
  if (error instanceof DeliveryFailure || error instanceof BackupError) return error.message;
  return error instanceof Error ? error.name : 'unknown error';
}

function hintOf(error: unknown, way: Way): string {
  if (error instanceof DeliveryFailure) return error.hint ?? way.hint;
  return error instanceof BackupError ? `${error.hint}.` : way.hint;
}

/** @returns a message about what did not arrive. */
async function send(way: Way, context: DeliveryContext): Promise<SessionMessage | undefined> {
  const { receiver, target } = way;
  const fields = { receiver, target, job: context.jobName };
  try {
    const refused = await way.send();
    if (refused.length === 0) return undefined;
    return sessionMessage('NTF-904', { ...fields, addresses: refused.join(', ') });
  } catch (error) {
    const reason = reasonOf(error, context.signal);
    return sessionMessage(way.code, { ...fields, reason, hint: hintOf(error, way) });
  }
}

/**
 * A delivery that fails is in the result. Nothing is thrown for it.
 *
 * @param onFailure - gets the message about a delivery when it has failed.
 */
export async function deliverAll(
  told: readonly Told[],
  context: DeliveryContext,
  onFailure: (message: SessionMessage) => void,
): Promise<Delivery[]> {
  const deliver = async (one: Way): Promise<Delivery> => {
    const { receiver, way, target } = one;
    const failure = await send(one, context);
    if (failure) onFailure(failure);
    context.logger.info({ receiver, way, target, failure: failure?.text }, 'notification');
    return { receiver, way, target, failure };
  };
  return await Promise.all(told.flatMap((one) => waysOf(one, context)).map(deliver));
}
