/** Installed packages are pinned. Only lz4 runs a script when it is installed. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

interface LockedPackage {
  readonly dev?: boolean;
  readonly link?: boolean;
  readonly integrity?: string;
  readonly hasInstallScript?: boolean;
}

const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
  readonly packages: Readonly<Record<string, LockedPackage>>;
};
/** Packages of a registry; the product and its lab are folders of this repository. */
const installed = Object.entries(packages).filter(([name]) =>
  /(?:^|\/)node_modules\/(?!ovirt-cbt-lab$)/.test(name),
);

it('pins every package by a SHA-512', () => {
  const loose = installed.filter(([, { integrity = '' }]) => !integrity.startsWith('sha512-'));

  expect(loose.map(([name]) => name)).toEqual([]);
  expect(installed.length).toBeGreaterThan(20);
});

it('lets no package run a script at its installation but lz4', () => {
  const scripted = installed.filter(([, { hasInstallScript }]) => hasInstallScript === true);
  const { allowScripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    readonly allowScripts: Readonly<Record<string, boolean>>;
  };

  expect(scripted.map(([name]) => name)).toEqual([
    'node_modules/lz4',
    'node_modules/msgpackr-extract',
  ]);
  expect(allowScripts).toEqual({ lz4: true, 'msgpackr-extract': false });
});
