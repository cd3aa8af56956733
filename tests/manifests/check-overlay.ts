import { configurationProblems } from './configuration.ts';
import { nameOf, type Manifest } from './manifest.ts';
import { render, type RenderOptions } from './render.ts';
import { rules } from './rules/rules.ts';
import { schemaProblems } from './schema.ts';
import { placeholder, siteNames, siteProblems } from './site.ts';

/** The values of a site that what is applied depends on. */
const usedNames = (options: RenderOptions): Set<string> => {
  const marked = siteNames.map((name) => `${name}=marked-${name}-here/-/-/-`).join('\n');
  const rendered = JSON.stringify(render('aks', { ...options, site: marked }));
  return new Set(siteNames.filter((name) => rendered.includes(`marked-${name}-here`)));
};

/** Objects in which a placeholder is left: their value is in no replacement. */
const placeholderProblems = (objects: readonly Manifest[]): string[] =>
  objects
    .filter((object) => JSON.stringify(object).includes(placeholder))
    .map((object) => `${nameOf(object)}: ${placeholder} is left, which no line of aks.env replaces`);

/** What speaks against applying objects. */
export const objectProblems = (objects: readonly Manifest[]): string[] => [
  ...placeholderProblems(objects),
  ...objects.flatMap(schemaProblems),
  ...rules.flatMap(({ find }) => find(objects)),
  ...configurationProblems(objects),
];

/** Everything that speaks against `kubectl apply -k k8s/overlays/aks` with these values. */
export const aksProblems = (site: string, options: RenderOptions = {}): string[] => {
  const used = usedNames(options);
  const ofSite = siteProblems(site, (name) => used.has(name));
  if (ofSite.length > 0) return ofSite.map((problem) => `aks.env: ${problem}`);
  return objectProblems(render('aks', { ...options, site }));
};
