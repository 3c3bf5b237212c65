/** Types of the vendored file, for the checks of the page's modules. */
import type { VNode } from 'preact';

export { render } from 'preact';
export {
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'preact/hooks';

/** Tag of a template that becomes elements. Values are text, attributes, components or elements. */
export const html: (strings: TemplateStringsArray, ...values: unknown[]) => VNode;
