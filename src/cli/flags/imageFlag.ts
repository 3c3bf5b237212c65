/** The value of `--image`. */
import { existsSync } from 'node:fs';
import { UsageError } from '../../core/errors.ts';
import type { ImageSource } from '../../sessions/backup/imagePlan.ts';

/**
 * Parses `NAME=FILE` or `FILE`. A text that names a file is that file, so file names with `=` work.
 * A name has no `/`, so `./` in front makes any text a file name.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` when name or file is empty
 */
export function parseImage(
  text: string,
  isThere: (path: string) => boolean = existsSync,
): ImageSource {
  const [, name, path] = /^([^/=]*)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || path === undefined || isThere(text)) return { path: text };
  if (name !== '' && path !== '') return { name, path };
  const what = name === '' ? 'name' : 'file';
  throw new UsageError('USAGE_INVALID_OPTION', `--image ${text}: the ${what} is missing`, {
    hint: 'use --image FILE or --image NAME=FILE',
  });
}
