import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { ConfigError, parseConfig } from '@countersign/service-kit';
import { configSchema as gateway } from '../../gateway/src/config.ts';
import { configSchema as callerApi, parseCallerConfig } from '../../services/caller-api/src/config.ts';
import { configSchema as localEntra } from '../../services/local-entra/src/config.ts';
import {
  configSchema as recordsApi,
  migrateConfigSchema,
  parseRecordsConfig,
} from '../../services/records-api/src/config.ts';
import { environmentOf, mapsOf, workloadIdentity } from './environment.ts';
import { nameOf, workloadsOf, type Container, type Manifest, type Workload } from './manifest.ts';

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
  'caller-api': { known: Object.keys(callerApi.shape), read: parseCallerConfig },
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

/** Variables of a ConfigMap that the webhook of workload identity sets to something else. */
const hiddenProblems = (objects: readonly Manifest[], workload: Workload, container: Container): string[] => {
  const bare = (url = '') => url.replace(/\/$/, '');
  const webhook = workloadIdentity(objects, workload);
  return Object.entries(mapsOf(objects, workload, container))
    .filter(([name, value]) => name in webhook && bare(webhook[name]) !== bare(value))
    .map(([name]) => `its ServiceAccount says otherwise what ${name} is`);
};

/** Variables that a manifest sets and its service does not know, and whatever the service would refuse to start with. */
export const configurationProblems = (objects: readonly Manifest[]): string[] =>
  workloadsOf(objects).flatMap((workload) => {
    const program = programs[workload.object.metadata.name];
    const [container] = workload.pod.containers;
    if (!program || !container) return [];
    const name = nameOf(workload.object);
    const written = [
      ...(container.env ?? []).map((variable) => variable.name),
      ...Object.keys(mapsOf(objects, workload, container)),
    ];
    const problems = [
      ...written
        .filter((variable) => !program.known.includes(variable) && !platform.has(variable))
        .map((variable) => `its service does not know ${variable}`),
      ...hiddenProblems(objects, workload, container),
    ];
    try {
      withFiles(environmentOf(objects, workload, container), program.read);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
    }
    return problems.map((problem) => `${name}: ${problem}`);
  });
