import { readFileSync } from 'node:fs';

/** Name, without its scope, and version of a service, from its package.json. */
export const packageIdentity = (packageJson: URL): { name: string; version: string } => {
  const { name, version } = JSON.parse(readFileSync(packageJson, 'utf8')) as {
    name: string;
    version: string;
  };
  return { name: name.replace(/^@[^/]+\//, ''), version };
};
