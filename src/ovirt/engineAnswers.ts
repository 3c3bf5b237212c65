/** Bodies of the engine's answers before they are decoded: JSON, or something that is not from an engine. */
import { EngineError } from '../core/errors.ts';
import { wire } from './wire.ts';

/** The text of a fault; empty when there is none, as in the pages of a gateway. */
export function faultDetail(text: string): string {
  try {
    const fault = wire.fault.safeParse(JSON.parse(text));
    return fault.success ? fault.data.detail || fault.data.reason : '';
  } catch {
    return '';
  }
}

/** @throws {@link EngineError} `ENGINE_BAD_ANSWER` */
export function parseJson(text: string, what: string): unknown {
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new EngineError('ENGINE_BAD_ANSWER', `${what}: the answer is no JSON`, {
      cause: error,
      hint: 'check that the URL names an oVirt engine, not a proxy or a login page',
    });
  }
}
