import type { Manifest } from './manifest.ts';
import { exampleSite, render } from './render.ts';

export interface Combination {
  name: string;
  isLocal: boolean;
  /** Rendered when first asked for. */
  objects: () => Manifest[];
}

const once = (make: () => Manifest[]): (() => Manifest[]) => {
  let made: Manifest[] | undefined;
  return () => (made ??= make());
};

const optional = ['managed-redis', 'monitoring', 'prometheus', 'keda', 'cilium-fqdn'];

const subsets = (names: readonly string[]): string[][] =>
  names.reduce<string[][]>((sets, name) => [...sets, ...sets.map((set) => [...set, name])], [[]]);

const ofAks = (components: readonly string[]): Combination => ({
  name: `aks with ${components.join(', ')}`,
  isLocal: false,
  objects: once(() => render('aks', { components, site: exampleSite })),
});

/**
 * Every overlay, and that of AKS with every combination of components. Gateway API classes and localdns share no object with
 * the other components: but for the default class, none and all of these stand for the rest.
 */
export const combinations: readonly Combination[] = [
  { name: 'local', isLocal: true, objects: once(() => render('local')) },
  { name: 'aks', isLocal: false, objects: once(() => render('aks', { site: exampleSite })) },
  ...subsets(optional).map((others) => ofAks(['approuting-istio', ...others])),
  ...['istio', 'azure-alb'].flatMap((other) => [ofAks([other]), ofAks([other, ...optional, 'localdns'])]),
];
