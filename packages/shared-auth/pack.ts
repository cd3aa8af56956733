/**
 * `npm pack` and `npm publish` run it before (`clean`, `prepare`) and after (`restore`): what is published has no condition that
 * leads to the source, which is not published, and a dist folder without what is left of earlier builds.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

const file = new URL('package.json', import.meta.url);
const kept = new URL('package.json.kept', import.meta.url);

const steps: Readonly<Record<string, () => void>> = {
  clean: () => rmSync(new URL('dist', import.meta.url), { recursive: true, force: true }),
  prepare: () => {
    const text = readFileSync(file, 'utf8');
    const manifest = JSON.parse(text) as { exports: { '.': { source?: string } } };
    delete manifest.exports['.'].source;
    writeFileSync(kept, text);
    writeFileSync(file, `${JSON.stringify(manifest, null, 2)}\n`);
  },
  restore: () => renameSync(kept, file),
};
steps[process.argv[2] ?? '']?.();
