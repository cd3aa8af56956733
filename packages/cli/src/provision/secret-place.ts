import { rm } from 'node:fs/promises';
import { type Agent, fetch } from 'undici';
import { parseAllDocuments, stringify } from 'yaml';
import { networkCause } from '../call-command.ts';
import { CommandError } from '../command-error.ts';
import { readIfThere, writePrivately } from '../private-file.ts';
import type { SecretPlaceSettings } from './provision-file.ts';
import type { GraphPassword } from './tenant-state.ts';

export interface NewSecret {
  text: string;
  keyId: string;
  endDateTime: string;
}

/** Where the text of a secret is kept: the only place that ever sees it. */
export interface SecretPlace {
  /** For people. */
  name: string;
  /** Whether what is kept is this secret. Undefined where nothing is kept. */
  read(): Promise<((password: GraphPassword) => boolean) | undefined>;
  /** The text, to take a token with. */
  text(): Promise<string | undefined>;
  write(secret: NewSecret): Promise<void>;
  remove(): Promise<void>;
}

const filePlace = (path: string): SecretPlace => {
  const text = async (): Promise<string | undefined> => (await readIfThere(path))?.trim() || undefined;
  return {
    name: path,
    text,
    async read() {
      const secret = await text();
      // Entra keeps the first three characters of a secret for this.
      return secret === undefined ? undefined : ({ hint }) => hint !== null && secret.startsWith(hint);
    },
    write: (secret) => writePrivately(path, secret.text),
    remove: () => rm(path, { force: true }),
  };
};

interface SecretManifest {
  kind?: unknown;
  metadata?: { name?: unknown; annotations?: Record<string, string> };
  stringData?: Record<string, string>;
}

const keyIdAnnotation = 'countersign/key-id';

const manifestPlace = (
  settings: Extract<SecretPlaceSettings, { kubernetesSecret: unknown }>['kubernetesSecret'],
): SecretPlace => {
  const { file, name, namespace, key } = settings;
  const load = async (): Promise<SecretManifest | undefined> => {
    const content = await readIfThere(file);
    if (content === undefined) return undefined;
    const documents = parseAllDocuments(content);
    const manifest = documents[0]?.toJS() as SecretManifest | null | undefined;
    if (documents.length === 1 && manifest?.kind === 'Secret' && manifest.metadata?.name === name) {
      return manifest;
    }
    throw new CommandError(`${file} holds something else than the Secret ${name}: it is left alone.`);
  };
  return {
    name: `Secret ${namespace}/${name} in ${file}`,
    text: async () => (await load())?.stringData?.[key],
    async read() {
      const keyId = (await load())?.metadata?.annotations?.[keyIdAnnotation];
      return keyId === undefined ? undefined : (password) => password.keyId === keyId;
    },
    async write({ text, keyId, endDateTime }) {
      const manifest = {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: {
          name,
          namespace,
          annotations: { [keyIdAnnotation]: keyId, 'countersign/ends': endDateTime },
        },
        type: 'Opaque',
        stringData: { [key]: text },
      };
      await writePrivately(file, stringify(manifest));
    },
    async remove() {
      if ((await load()) !== undefined) await rm(file);
    },
  };
};

interface VaultSecret {
  value: string;
  tags?: Record<string, string>;
}

const vaultHints: Readonly<Record<number, string>> = {
  403: ': the identity needs "Key Vault Secrets Officer" there',
  409: ': a deleted secret of the name is kept there: recover or purge it',
};

/** Key Vault's REST API, version 7.4. */
const keyVaultPlace = (
  { url, name }: { url: string; name: string },
  { dispatcher, vaultToken }: SecretPlaceDependencies,
): SecretPlace => {
  const address = new URL(`/secrets/${encodeURIComponent(name)}?api-version=7.4`, url).href;
  const send = async (method: string, body?: unknown): Promise<VaultSecret | undefined> => {
    let response;
    try {
      response = await fetch(address, {
        method,
        headers: { authorization: `Bearer ${await vaultToken()}`, 'content-type': 'application/json' },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        dispatcher,
        redirect: 'error',
        signal: AbortSignal.timeout(30_000),
      });
    } catch (error) {
      if (error instanceof CommandError) throw error;
      throw new CommandError(`Key Vault ${url} does not answer: ${networkCause(error)}`);
    }
    if (response.status === 404 && method !== 'PUT') return undefined;
    if (response.ok) return (await response.json()) as VaultSecret;
    // Its body is left unread: an answer to a PUT may hold what was put.
    await response.body?.cancel();
    throw new CommandError(
      `Key Vault ${url} answers ${response.status} to ${method} secrets/${name}${vaultHints[response.status] ?? ''}.`,
    );
  };
  return {
    name: `Key Vault ${new URL(url).host}, ${name}`,
    text: async () => (await send('GET'))?.value,
    async read() {
      const keyId = (await send('GET'))?.tags?.['key-id'];
      return keyId === undefined ? undefined : (password) => password.keyId === keyId;
    },
    async write({ text, keyId, endDateTime }) {
      const exp = Math.floor(Date.parse(endDateTime) / 1000);
      await send('PUT', { value: text, tags: { 'key-id': keyId }, attributes: { exp } });
    },
    async remove() {
      await send('DELETE');
    },
  };
};

export interface SecretPlaceDependencies {
  dispatcher: Agent;
  /** A token for Key Vault. */
  vaultToken: () => Promise<string>;
}

export const createSecretPlace = (
  settings: SecretPlaceSettings,
  dependencies: SecretPlaceDependencies,
): SecretPlace => {
  if ('file' in settings) return filePlace(settings.file);
  if ('kubernetesSecret' in settings) return manifestPlace(settings.kubernetesSecret);
  return keyVaultPlace(settings.keyVault, dependencies);
};
