/** All fuzz targets. */
import { chainTarget, containerTarget, filesTarget, vbmTarget } from './containerTargets.ts';
import { imageioTarget } from './imageioTarget.ts';
import { nbdTarget } from './nbdTarget.ts';
import { reportTarget } from './reportTarget.ts';
import { sealTarget } from './sealTarget.ts';
import type { FuzzTarget } from './target.ts';
import { textTargets } from './textTargets.ts';

export async function openTargets(): Promise<FuzzTarget[]> {
  return [
    await containerTarget(),
    await chainTarget(),
    await vbmTarget(),
    filesTarget(),
    ...textTargets(),
    reportTarget(),
    sealTarget(),
    await imageioTarget(),
    await nbdTarget(),
  ];
}
