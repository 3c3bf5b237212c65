// @ts-check
/** Login by a token. */
import { ApiError, login } from '../state/api.js';
import { useStore } from '../state/store.js';
import { Problem } from '../parts/basics.js';
import { html, useEffect, useRef, useState } from '../vendor/preact.js';

export function Login() {
  const isExpired = useStore((state) => state.login === 'expired');
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [error, setError] = useState(/** @type {ApiError | undefined} */ (undefined));
  const [isBusy, setIsBusy] = useState(false);
  useEffect(() => {
    document.title = 'Log in · ovirt-cbt';
    field.current?.focus();
  }, []);

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    if (isBusy) return;
    setIsBusy(true);
    setError(undefined);
    try {
      await login(field.current?.value.trim() ?? '');
    } catch (caught) {
      setError(ApiError.of(caught));
      setIsBusy(false);
      field.current?.select();
      field.current?.focus();
    }
  }

  return html`<main class="login" id="main">
    <form class="card" onSubmit=${submit}>
      <p class="brand"><span class="mark" aria-hidden="true"></span>ovirt-cbt</p>
      <h1>Log in to the console</h1>
      ${isExpired && html`<p class="note info" role="status">Your login has ended: eight hours without use, or the daemon was started again. Log in to go on.</p>`}
      <input type="text" name="username" autocomplete="username" value="ovirt-cbt" readonly hidden />
      <label for="token">Token</label>
      <input id="token" ref=${field} type="password" autocomplete="current-password" spellcheck="false" required aria-describedby="token-hint" />
      <p id="token-hint" class="soft small">It is the line of the token file. The daemon named that file when it started.</p>
      ${error && html`<${Problem} error=${error} />`}
      <button type="submit" class="primary" aria-disabled=${isBusy}>Log in</button>
    </form>
  </main>`;
}
