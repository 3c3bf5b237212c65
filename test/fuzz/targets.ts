/** All fuzz targets. */
import { chainTarget, containerTarget, filesTarget, vbmTarget } from './containerTargets.ts';
import { imageioTarget } from './imageioTarget.ts';
import { nbdTarget } from './nbdTarget.ts';
import type { FuzzTarget } from './target.ts';
import { textTargets } from './textTargets.ts';

export async function openTargets(): Promise<FuzzTarget[]> {
  return [
    await containerTarget(),
    await chainTarget(),
    await vbmTarget(),
    filesTarget(),
    ...textTargets(),
    await imageioTarget(),
    await nbdTarget(),
  ];
}
