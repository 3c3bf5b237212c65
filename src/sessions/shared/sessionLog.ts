/** Collects the messages of a session: for its report, for its caller and for its log. */
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

  /**
   * Adds a message, once: one with the same code and text is ignored. Bound to the object, so it
   * can be passed as a callback.
   */
  readonly note = (message: SessionMessage): void => {
    if (this.messages.some(({ code, text }) => code === message.code && text === message.text))
      return;
    this.messages.push(message);
    this.log[message.level]({ code: message.code, resolution: message.resolution }, message.text);
    this.#onMessage?.(message);
  };
}
