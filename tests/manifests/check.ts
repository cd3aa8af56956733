/** `npm run k8s:check`: refuses an overlay of AKS that should not be applied, and says why. */
import { readFileSync } from 'node:fs';
import { aksProblems } from './check-overlay.ts';
import { canRender } from './render.ts';

const site = readFileSync(new URL('../../k8s/overlays/aks/aks.env', import.meta.url), 'utf8');
const problems = canRender() ? aksProblems(site) : ['kubectl is missing'];
for (const problem of problems) process.stderr.write(`${problem}\n`);
process.stderr.write(
  problems.length === 0 ? 'k8s/overlays/aks can be applied\n' : 'k8s/overlays/aks must not be applied\n',
);
process.exitCode = problems.length === 0 ? 0 : 1;
