import { configurationProblems } from './configuration.ts';
import { render, type RenderOptions } from './render.ts';
import { rules } from './rules/rules.ts';
import { schemaProblems } from './schema.ts';
import { parseEnv, siteProblems } from './site.ts';

/** The values of a site that what is applied depends on. */
const usedNames = (site: string, options: RenderOptions): Set<string> => {
  const names = Object.keys(parseEnv(site));
  const marked = names.map((name) => `${name}=marked-${name}-here/-/-/-`).join('\n');
  const rendered = JSON.stringify(render('aks', { ...options, site: marked }));
  return new Set(names.filter((name) => rendered.includes(`marked-${name}-here`)));
};

/** Everything that speaks against `kubectl apply -k k8s/overlays/aks` with these values. */
export const aksProblems = (site: string, options: RenderOptions = {}): string[] => {
  const used = usedNames(site, options);
  const ofSite = siteProblems(site, (name) => used.has(name));
  if (ofSite.length > 0) return ofSite.map((problem) => `aks.env: ${problem}`);
  const objects = render('aks', { ...options, site });
  return [
    ...objects.flatMap(schemaProblems),
    ...rules.flatMap(({ find }) => find(objects)),
    ...configurationProblems(objects),
  ];
};
