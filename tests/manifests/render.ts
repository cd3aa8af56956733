import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments, stringify } from 'yaml';
import type { Manifest } from './manifest.ts';

const manifests = fileURLToPath(new URL('../../k8s', import.meta.url));

/** A site that could be, for the overlay of AKS. */
export const exampleSite = readFileSync(new URL('site.env', import.meta.url), 'utf8');

/** Whether `kubectl kustomize` is there. Components that read what overlays generate need that of kubectl 1.29 or newer. */
export const canRender = (): boolean =>
  spawnSync('kubectl', ['kustomize', join(manifests, 'base')], { stdio: 'ignore' }).status === 0;

/** @throws Error with what kustomize has to say. */
const kustomize = (folder: string): Manifest[] => {
  const { status, stdout, stderr } = spawnSync('kubectl', ['kustomize', folder], {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  if (status !== 0) throw new Error(`kubectl kustomize ${folder}: ${stderr}`);
  return parseAllDocuments(stdout).map((document) => document.toJS() as Manifest);
};

export interface RenderOptions {
  /** In place of those that the overlay names. */
  components?: readonly string[];
  /** In place of the text of `aks.env`. */
  site?: string;
}

/** What `kubectl apply -k k8s/overlays/<overlay>` would send. */
export const render = (overlay: string, { components, site }: RenderOptions = {}): Manifest[] => {
  if (components === undefined && site === undefined) return kustomize(join(manifests, 'overlays', overlay));
  const copy = mkdtempSync(join(tmpdir(), 'k8s-'));
  try {
    cpSync(manifests, copy, { recursive: true });
    const folder = join(copy, 'overlays', overlay);
    if (site !== undefined) writeFileSync(join(folder, 'aks.env'), site);
    if (components !== undefined) {
      const file = join(folder, 'kustomization.yaml');
      const kustomization = parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
      kustomization['components'] = components.map((name) => `../../components/${name}`);
      writeFileSync(file, stringify(kustomization));
    }
    return kustomize(folder);
  } finally {
    rmSync(copy, { recursive: true });
  }
};
