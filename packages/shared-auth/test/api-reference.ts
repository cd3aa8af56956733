import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const packageFolder = fileURLToPath(new URL('..', import.meta.url));

/** Compiles the package into a folder of its own, so that no other build is in the way. */
export const compileTo = (outDir: string): void => {
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  const flags = ['--outDir', outDir, '--tsBuildInfoFile', join(outDir, '.tsbuildinfo')];
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', packageFolder, ...flags], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`tsc failed: ${stdout}`);
};

interface Declaration {
  name: string;
  /** Its JSDoc without stars. */
  comment: string;
  code: string;
}

const count = (text: string, characters: RegExp): number => text.match(characters)?.length ?? 0;

/** Whether these lines are a declaration to its end: a body that is closed, or a statement with its semicolon. */
const isWhole = (code: string): boolean =>
  count(code, /[{(]/g) === count(code, /[})]/g) &&
  (code.endsWith(';') ||
    (code.endsWith('}') && /^(?:export )?(?:declare )?(?:abstract )?(?:interface|class) /.test(code)));

/** The declarations of a .d.ts file: each begins at the margin, after its comment. */
const declarationsOf = (text: string): Declaration[] => {
  const declarations: Declaration[] = [];
  let comment: string[] = [];
  let code: string[] = [];
  let isInComment = false;
  for (const line of text.split('\n')) {
    if (code.length === 0 && (isInComment || line.startsWith('/**'))) {
      comment = line.startsWith('/**') ? [line] : [...comment, line];
      isInComment = !line.endsWith('*/');
    } else if (code.length > 0 || /^(?:export |declare )/.test(line)) {
      code.push(line);
      const whole = code.join('\n');
      if (!isWhole(whole)) continue;
      const name = /(?:const|class|interface|type|function) (?<name>\w+)/.exec(whole)?.groups?.['name'] ?? '';
      const words = comment
        .join('\n')
        .replace(/^\/\*\*/, '')
        .replace(/\s*\*\/$/, '')
        .replaceAll(/^ *\* ?/gm, '');
      declarations.push({ name, comment: words.trim(), code: whole });
      [comment, code] = [[], []];
    }
  }
  return declarations;
};

/** A docstring's links as plain code. */
const toMarkdown = (comment: string): string =>
  comment.replaceAll(/\{@link (\w+)\}/g, '`$1`').replaceAll(/^@(\w+) /gm, '- _$1_ ');

/** Text of the API reference: what index.ts exports, with docstrings, by module and in its order. */
export const createApiReference = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'api-'));
  try {
    compileTo(folder);
    const index = readFileSync(join(folder, 'index.d.ts'), 'utf8');
    const sections = [
      ...index.matchAll(/export (?:type )?(?<names>\*|\{[^}]*\}) from '\.\/(?<file>[^']+)\.ts'/g),
    ].map(({ groups }) => {
      const { names = '', file = '' } = groups ?? {};
      const all = declarationsOf(readFileSync(join(folder, `${file}.d.ts`), 'utf8'));
      const wanted = new Set(names.match(/\b(?!type\b)\w+/g));
      const exported = all.filter(({ name, code }) =>
        names === '*' ? code.startsWith('export') : wanted.has(name),
      );
      const entries = exported.map(
        ({ name, comment, code }) =>
          `### ${name}\n\n${comment === '' ? '' : `${toMarkdown(comment)}\n\n`}\`\`\`ts\n${code}\n\`\`\`\n`,
      );
      return `## ${file}\n\n${entries.join('\n')}`;
    });
    return `# API\n\nMade from the docstrings by \`npm run -w packages/shared-auth api\`; a test compares it.\n\n${sections.join('\n')}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
};
