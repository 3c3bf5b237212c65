/** What a session has to say: messages for its report and its caller, and the same in its log. */
import { type Logger, silentLogger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';

export interface SessionLogOptions {
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
}

export class SessionLog {
  readonly log: Logger;
  readonly messages: SessionMessage[] = [];
  readonly #onMessage: ((message: SessionMessage) => void) | undefined;

  /** @param bindings - fixed fields of every log line. */
  constructor(options: SessionLogOptions, bindings: Readonly<Record<string, string>>) {
    this.log = (options.logger ?? silentLogger).child(bindings);
    this.#onMessage = options.onMessage;
  }

  /** Bound, so that it can be handed on. A message that was given before is not given again. */
  readonly note = (message: SessionMessage): void => {
    if (this.messages.some(({ code, text }) => code === message.code && text === message.text))
      return;
    this.messages.push(message);
    this.log[message.level]({ code: message.code, resolution: message.resolution }, message.text);
    this.#onMessage?.(message);
  };
}
