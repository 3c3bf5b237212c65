/**
 * Makes `src/console/page/vendor/preact.js`: Preact, its hooks and htm from the locked packages in one
 * file, which browsers load as it is.
 *
 *   node pageVendor.mjs [FILE]
 */
import { rolldown } from 'rolldown';

const ENTRY = 'console-page-vendor';
const NAMES = {
  preact: ['render'],
  'preact/hooks': [
    'useCallback',
    'useEffect',
    'useLayoutEffect',
    'useMemo',
    'useRef',
    'useState',
  ],
};
const SOURCE = [
  ...Object.entries(NAMES).map(([from, names]) => `export { ${names.join(', ')} } from '${from}';`),
  "import { h } from 'preact';",
  "import htm from 'htm';",
  'export const html = htm.bind(h);',
].join('\n');
const BANNER = '// Made by pageVendor.mjs from preact (MIT) and htm (Apache-2.0); see README.md beside it.';

const bundle = await rolldown({
  input: ENTRY,
  platform: 'browser',
  plugins: [
    {
      name: ENTRY,
      resolveId: (id) => (id === ENTRY ? { id, moduleSideEffects: true } : null),
      load: (id) => (id === ENTRY ? SOURCE : null),
    },
  ],
});
const file = process.argv[2] ?? 'src/console/page/vendor/preact.js';
await bundle.write({ file, format: 'esm', minify: true, postBanner: BANNER });
