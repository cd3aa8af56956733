export type { Clock } from './clock.ts';
export {
  createLocalEntra,
  startLocalEntra,
  type LocalEntra,
  type LocalEntraOptions,
  type PreparedLocalEntra,
  type StartLocalEntraOptions,
} from './local-entra.ts';
export type { Seed } from './seed/seed-schema.ts';
