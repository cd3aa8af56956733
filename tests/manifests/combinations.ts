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

const gatewayClasses = ['approuting-istio', 'istio', 'azure-alb'];
const optional = ['monitoring', 'prometheus', 'keda', 'cilium-fqdn'];

const subsets = (names: readonly string[]): string[][] =>
  names.reduce<string[][]>((sets, name) => [...sets, ...sets.map((set) => [...set, name])], [[]]);

/** Every overlay, and that of AKS with every combination of components. */
export const combinations: readonly Combination[] = [
  { name: 'local', isLocal: true, objects: once(() => render('local')) },
  { name: 'aks', isLocal: false, objects: once(() => render('aks', { site: exampleSite })) },
  ...gatewayClasses.flatMap((gatewayClass) =>
    subsets(optional).map((others) => {
      const components = [gatewayClass, ...others];
      return {
        name: `aks with ${components.join(', ')}`,
        isLocal: false,
        objects: once(() => render('aks', { components, site: exampleSite })),
      };
    }),
  ),
];
