import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { ConfigError, parseConfig } from '@countersign/service-kit';
import { configSchema as gateway } from '../../gateway/src/config.ts';
import { configSchema as callerApi } from '../../services/caller-api/src/config.ts';
import { configSchema as localEntra } from '../../services/local-entra/src/config.ts';
import {
  configSchema as recordsApi,
  migrateConfigSchema,
  parseRecordsConfig,
} from '../../services/records-api/src/config.ts';
import { environmentOf } from './environment.ts';
import { nameOf, ofKind, workloadsOf, type Container, type Manifest, type Workload } from './manifest.ts';

type Environment = Readonly<Record<string, string>>;

interface Program {
  known: readonly string[];
  /** @throws {ConfigError} */
  read: (environment: Environment) => unknown;
}

const programs: Readonly<Record<string, Program>> = {
  gateway: { known: Object.keys(gateway.shape), read: (environment) => parseConfig(gateway, environment) },
  'records-api': {
    known: Object.keys(recordsApi.shape),
    read: (environment) => parseRecordsConfig(recordsApi, environment),
  },
  // Shares the variables of records-api.
  'records-migration': {
    known: Object.keys(recordsApi.shape),
    read: (environment) => parseRecordsConfig(migrateConfigSchema, environment),
  },
  'caller-api': {
    known: Object.keys(callerApi.shape),
    read: (environment) => parseConfig(callerApi, environment),
  },
  'local-entra': {
    known: Object.keys(localEntra.shape),
    read: (environment) => parseConfig(localEntra, environment),
  },
};

/** What is Node's own. */
const platform = new Set(['NODE_OPTIONS']);

/** Files that pods mount, as files that are here. */
const withFiles = <Result>(environment: Environment, use: (environment: Environment) => Result): Result => {
  const folder = mkdtempSync(join(tmpdir(), 'configuration-'));
  try {
    const file = join(folder, 'any.pem');
    writeFileSync(file, rootCertificates[0] ?? '');
    return use(
      Object.fromEntries(
        Object.entries(environment).map(([name, value]) => [name, name.endsWith('_FILE') ? file : value]),
      ),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
};

const setByManifest = (
  objects: readonly Manifest[],
  workload: Workload,
  { env = [], envFrom = [] }: Container,
): string[] => [
  ...env.map(({ name }) => name),
  ...envFrom.flatMap(({ configMapRef }) => {
    const map = ofKind(objects, 'ConfigMap').find(({ metadata }) => metadata.name === configMapRef?.name);
    return Object.keys(map?.data ?? {});
  }),
];

/** Variables that a manifest sets and its service does not know, and whatever the service would refuse to start with. */
export const configurationProblems = (objects: readonly Manifest[]): string[] =>
  workloadsOf(objects).flatMap((workload) => {
    const program = programs[workload.object.metadata.name];
    const [container] = workload.pod.containers;
    if (!program || !container) return [];
    const name = nameOf(workload.object);
    const unknown = setByManifest(objects, workload, container)
      .filter((variable) => !program.known.includes(variable) && !platform.has(variable))
      .map((variable) => `${name}: its service does not know ${variable}`);
    try {
      withFiles(environmentOf(objects, workload, container), program.read);
      return unknown;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return [...unknown, ...error.problems.map((problem) => `${name}: ${problem}`)];
    }
  });
