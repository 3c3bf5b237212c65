/** The document around a page: head, policy against scripts and requests, style sheet. */
import { hostname } from 'node:os';
import { html, type Html, trusted } from './html.ts';
import { STYLE } from './style.ts';

const POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/** A whole document. @param madeAt - time that its foot tells. */
export function page(title: string, body: Html, madeAt: Date): string {
  const made = `${madeAt.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${trusted(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<style>${trusted(STYLE)}</style>
</head>
<body>
<main>
${body}
</main>
<footer>Page made ${made} by ovirt-cbt on ${hostname()}. It needs no network and no script. All times are UTC.</footer>
</body>
</html>
`.text;
}
