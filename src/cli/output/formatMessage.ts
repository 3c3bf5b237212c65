/** Session messages as lines for people. */
import type { SessionMessage } from '../../core/messages.ts';

export function formatMessage(message: SessionMessage): string {
  const advice = message.resolution === 'None.' ? '' : ` ${message.resolution}`;
  return `${message.level}: ${message.code} ${message.text}${advice}`;
}
