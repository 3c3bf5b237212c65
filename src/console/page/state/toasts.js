// @ts-check
/** Short notes above the page. Errors stay until someone closes them. */
/** @import { Toast } from './store.js' */
import { ApiError } from './api.js';
import { change, getState } from './store.js';

const SHOWN_MS = 8000;
/** More would cover the page. The rest is in the log. */
const MOST_TOASTS = 4;

let lastId = 0;

/** @param {Omit<Toast, 'id'>} toast */
export function showToast(toast) {
  const id = ++lastId;
  change({ toasts: [...getState().toasts, { ...toast, id }].slice(-MOST_TOASTS) });
  if (toast.kind !== 'bad') setTimeout(() => closeToast(id), SHOWN_MS);
}

/** @param {number} id */
export function closeToast(id) {
  change({ toasts: getState().toasts.filter((toast) => toast.id !== id) });
}

/** Says why an action did not work. An expired login has its own view. @param {unknown} error */
export function showProblem(error) {
  const { message, hint, status } = ApiError.of(error);
  if (status !== 401) showToast({ kind: 'bad', text: message, hint });
}
