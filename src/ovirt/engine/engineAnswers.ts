/** Bodies of the engine's answers before decoding. Some are pages of a gateway, not JSON. */
import { EngineError } from '../../core/errors.ts';
import { wire } from './decoders.ts';

/** Texts are cut here, because a search for phrases in a long hostile text may take very long. */
const MAX_DETAIL_CHARS = 4000;

/** The text of a fault, at most 4000 characters; empty for a body without one, such as a page. */
export function faultDetail(text: string): string {
  try {
    const fault = wire.fault.safeParse(JSON.parse(text));
    const detail = fault.success ? fault.data.detail || fault.data.reason : '';
    return detail.slice(0, MAX_DETAIL_CHARS);
  } catch {
    return '';
  }
}

/** Parses a body; an empty one gives `{}`. @throws {@link EngineError} `ENGINE_BAD_ANSWER` */
export function parseJson(text: string, what: string): unknown {
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new EngineError('ENGINE_BAD_ANSWER', `${what}: the answer is no valid JSON`, {
      cause: error,
      hint: 'check that the URL names an oVirt engine, not a proxy or a login page',
    });
  }
}
