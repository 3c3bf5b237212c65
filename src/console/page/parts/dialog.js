// @ts-check
/** Dialogs. The browser keeps the focus inside, and gives it back when the dialog closes. */
import { ApiError } from '../state/api.js';
import { html, useLayoutEffect, useRef, useState } from '../vendor/preact.js';
import { Problem } from './basics.js';

/**
 * @typedef {object} DialogProps
 * @property {unknown} title
 * @property {string} submitLabel
 * @property {boolean} [isDanger]
 * @property {(fields: FormData) => Promise<void>} onSubmit
 * @property {unknown} [children]
 */

/**
 * A form that does one thing. It closes when the thing is begun, and tells here why it is not.
 *
 * @param {DialogProps & { onClose: () => void }} props
 */
export function ActionDialog({
  title,
  submitLabel,
  isDanger = false,
  onSubmit,
  onClose,
  children,
}) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const [error, setError] = useState(/** @type {unknown} */ (undefined));
  const [isBusy, setIsBusy] = useState(false);
  useLayoutEffect(() => {
    const own = dialog.current;
    own?.showModal();
    return () => own?.close();
  }, []);

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    if (isBusy) return;
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    setIsBusy(true);
    setError(undefined);
    try {
      await onSubmit(new FormData(form));
      onClose();
    } catch (caught) {
      setError(ApiError.of(caught));
      setIsBusy(false);
    }
  }

  return html`<dialog ref=${dialog} aria-labelledby="dialog-title" onClose=${onClose}>
    <form onSubmit=${submit}>
      <h2 id="dialog-title">${title}</h2>
      ${children}
      ${error !== undefined && html`<${Problem} error=${error} />`}
      <div class="actions end">
        <button type="button" onClick=${onClose}>Cancel</button>
        <button type="submit" class=${isDanger ? 'danger' : 'primary'} aria-disabled=${isBusy}>${submitLabel}</button>
      </div>
    </form>
  </dialog>`;
}

/**
 * A button that asks first.
 *
 * @param {DialogProps & { label: string, name?: string, isPrimary?: boolean }} props - `name`: for
 * screen readers
 */
export function DialogButton({ label, name, isPrimary = false, ...dialog }) {
  // The browser tells the end of a dialog late: then the next one may be open already.
  const [opened, setOpened] = useState(0);
  const lastOpened = useRef(0);
  const close = () => setOpened((now) => (now === opened ? 0 : now));
  return html`
    <button type="button" class=${isPrimary ? 'primary' : ''} aria-haspopup="dialog" aria-label=${name} onClick=${() => setOpened(++lastOpened.current)}>${label}</button>
    ${opened > 0 && html`<${ActionDialog} key=${opened} ...${dialog} onClose=${close} />`}
  `;
}
