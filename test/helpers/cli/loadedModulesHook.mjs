/** Hook of ES modules, see loadedModules.mjs. */
import { appendFileSync } from 'node:fs';

let file = '';

export function initialize(data) {
  ({ file } = data);
}

export async function load(url, context, next) {
  appendFileSync(file, `${url}\n`);
  return await next(url, context);
}
