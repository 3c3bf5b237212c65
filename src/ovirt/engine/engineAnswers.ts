/** Bodies of the engine's answers before they are decoded: JSON, or something that is not from an engine. */
import { EngineError } from '../../core/errors.ts';
import { wire } from './decoders.ts';

/** Longer texts are no fault of an engine, and looking for phrases in them may take very long. */
const MAX_DETAIL_CHARS = 4000;

/** The text of a fault, cut to 4000 characters; empty when there is none, as in the pages of a gateway. */
export function faultDetail(text: string): string {
  try {
    const fault = wire.fault.safeParse(JSON.parse(text));
    const detail = fault.success ? fault.data.detail || fault.data.reason : '';
    return detail.slice(0, MAX_DETAIL_CHARS);
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
