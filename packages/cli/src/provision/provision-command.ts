import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline/promises';
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { agentFor } from '../call-command.ts';
import { CommandError, UsageError } from '../command-error.ts';
import { exitCodes } from '../exit-codes.ts';
import { localTenantId } from '../local-system.ts';
import { readAddresses, readTarget, readText } from '../target.ts';
import { oneLine, type Paint, painter, type Terminal, writeJson } from '../terminal.ts';
import { azScript } from './az-script.ts';
import type { Change, Plan } from './plan.ts';
import { parseProvisionFile, type ProvisionFile } from './provision-file.ts';
import { createProvisioner, type Provisioner, type TokenCheck } from './provisioner.ts';
import { assertPermissions, graphOriginOf, signIn } from './sign-in.ts';

interface ProvisionOptions {
  file: string;
  data: string;
  envFile?: string;
  tenant?: string;
  authority?: string;
  caFile?: string;
  yes?: boolean;
  az?: boolean;
  json?: boolean;
  keepOld?: boolean;
}

/** The one that comes with the command: records-api and its caller. */
const packagedFile = fileURLToPath(new URL('../../provision.yaml', import.meta.url));

/** As often as Graph's own delays can need it; each round plans anew. */
const maxRounds = 5;

const open = async (
  options: ProvisionOptions,
  terminal: Terminal,
  writes: boolean,
): Promise<{
  file: ProvisionFile;
  graphOrigin: string;
  provisioner: Provisioner;
  close: () => Promise<void>;
}> => {
  const { stderr, env } = terminal;
  const file = parseProvisionFile(readText(options.file, 'The file'), options.file);
  const local = readAddresses(options.data);
  const target = readTarget({ ...options, as: 'api2' }, env);
  const authority = options.authority ?? file.authority ?? target.authorityHost;
  const tenantId = options.tenant ?? file.tenant ?? target.tenantId;
  if (authority === undefined || tenantId === undefined) {
    throw new UsageError(
      'Which tenant? Write tenant and authority into the file, set AZURE_TENANT_ID and AZURE_AUTHORITY_HOST, or start a local one: npm start',
    );
  }
  const { origin = '', protocol } = URL.parse(authority) ?? {};
  if (protocol !== 'https:') throw new UsageError(`The authority has to be an https: origin: ${authority}`);
  const own = target.isLocal ? undefined : URL.parse(target.authorityHost ?? authority)?.origin;
  if (own !== undefined && own !== origin) {
    throw new UsageError(
      `The credential is for ${own}, and the file names ${origin}: it is sent there with --authority ${origin}.`,
    );
  }
  const isLocal = local?.entraOrigin === origin && tenantId === localTenantId;
  // The CA of the local system is trusted for that system alone.
  const ca =
    target.isLocal && !isLocal && !options.caFile
      ? undefined
      : (target.ca ?? (isLocal ? await readFile(local.caFile, 'utf8') : undefined));
  const graphOrigin = file.graph === undefined ? graphOriginOf(origin) : new URL(file.graph).origin;
  const dispatcher = agentFor(ca);
  const grants = file.applications.some((each) => each.grants.length > 0);
  const provisioner = await createProvisioner({
    file,
    authority: origin,
    tenantId,
    graphOrigin,
    ca,
    dispatcher,
    clock: Date.now,
    pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    signIn: async (resource) => {
      const token = await signIn({ authority: origin, tenantId, resource, target: { ...target, ca }, local });
      if (resource === graphOrigin) assertPermissions(token, { writes, grants });
      return token;
    },
    onRetry: (reason, ms) => stderr.write(`waiting ${(ms / 1000).toFixed(1)} s: ${oneLine(reason)}\n`),
  });
  return { file, graphOrigin, provisioner, close: () => dispatcher.destroy() };
};

const signs = { create: ['green', '+'], update: ['yellow', '~'], delete: ['red', '-'] } as const;
const lineColours = { '+': 'green', '-': 'red', '~': 'yellow' } as const;

const changeLines = ({ action, subject, lines }: Change, paint: Paint): string[] => {
  const [colour, sign] = signs[action];
  return [
    `${paint(colour, sign)} ${oneLine(subject)}`,
    ...lines.map(({ sign: mark, text }) => `    ${paint(lineColours[mark], mark)} ${oneLine(text)}`),
  ];
};

const render = ({ changes, notes }: Plan, paint: Paint): string => {
  const count = (action: Change['action']): number =>
    changes.filter((change) => change.action === action).length;
  const summary =
    changes.length === 0
      ? paint('green', 'Nothing to change: the tenant is as the file says.')
      : `${count('create')} to create, ${count('update')} to change, ${count('delete')} to delete.`;
  return [
    ...changes.flatMap((change) => changeLines(change, paint)),
    ...(changes.length > 0 ? [''] : []),
    summary,
    ...(notes.length > 0
      ? ['', 'Not in the file, and left alone:', ...notes.map((note) => `  ${oneLine(note)}`)]
      : []),
    '',
  ].join('\n');
};

const describe = ({ changes, notes }: Plan): unknown => ({
  changes: changes.map(({ application, subject, action, lines }) => ({
    application,
    subject,
    action,
    lines,
  })),
  notes,
});

const confirm = async ({ stdin, stderr }: Terminal, question: string): Promise<void> => {
  if (!stdin.isTTY) throw new CommandError(`${question} Say so with --yes.`);
  const prompt = createInterface({ input: stdin, output: stderr });
  try {
    const answer = await prompt.question(`${question} Type yes: `);
    if (answer.trim() !== 'yes') throw new CommandError('Nothing was done.');
  } finally {
    prompt.close();
  }
};

const checkLine = ({ application, api, isGood, detail }: TokenCheck, paint: Paint): string =>
  `${paint(isGood ? 'green' : 'red', isGood ? '✓' : '✗')} token of ${application} for ${api}: ${oneLine(detail)}`;

const applyAll = async (
  provisioner: Provisioner,
  options: ProvisionOptions,
  terminal: Terminal,
): Promise<void> => {
  const { stdout, stderr } = terminal;
  const paint = painter(stdout);
  let plan = await provisioner.plan();
  const first = plan;
  if (!options.json) stdout.write(render(plan, paint));
  if (plan.changes.some(({ action }) => action === 'delete') && !options.yes) {
    await confirm(terminal, 'Something is deleted.');
  }
  for (let round = 1; plan.changes.length > 0; round += 1) {
    if (round > maxRounds)
      throw new CommandError('The tenant does not come to rest: somebody else changes it, too.');
    await provisioner.carryOut(plan.changes, ({ subject }) => {
      stderr.write(`… ${oneLine(subject)}\n`);
    });
    plan = await provisioner.plan();
  }
  const tokens = await provisioner.checkTokens(true);
  if (options.json) writeJson(stdout, { ...(describe(first) as object), tokens });
  else stdout.write(tokens.map((check) => `${checkLine(check, paint)}\n`).join(''));
  if (tokens.some(({ isGood }) => !isGood)) terminal.end(exitCodes.fault);
};

const verify = async (
  provisioner: Provisioner,
  options: ProvisionOptions,
  terminal: Terminal,
): Promise<void> => {
  const { stdout } = terminal;
  const paint = painter(stdout);
  const plan = await provisioner.plan();
  const tokens = await provisioner.checkTokens(false);
  if (options.json) writeJson(stdout, { ...(describe(plan) as object), tokens });
  else stdout.write(render(plan, paint) + tokens.map((check) => `${checkLine(check, paint)}\n`).join(''));
  if (plan.changes.length > 0) terminal.end(exitCodes.drift);
  else if (tokens.some(({ isGood }) => !isGood)) terminal.end(exitCodes.fault);
};

const rotate = async (
  provisioner: Provisioner,
  key: string | undefined,
  options: ProvisionOptions,
  { stdout, stderr }: Terminal,
): Promise<void> => {
  const changes = await provisioner.rotationOf(key);
  const chosen = options.keepOld ? changes.filter(({ action }) => action !== 'delete') : changes;
  await provisioner.carryOut(chosen, ({ subject, action }) =>
    stderr.write(`… ${action} ${oneLine(subject)}\n`),
  );
  const outputs = (await provisioner.plan()).changes.filter(({ task }) => task.kind === 'write-output');
  await provisioner.carryOut(outputs, () => {});
  if (options.json) writeJson(stdout, describe({ changes: chosen, notes: [] }));
  else stdout.write(`${chosen.filter(({ task }) => task.kind === 'add-secret').length} rotated\n`);
};

const destroy = async (
  provisioner: Provisioner,
  options: ProvisionOptions,
  terminal: Terminal,
): Promise<void> => {
  const remains = await provisioner.remains();
  const adopted = remains.filter(({ application }) => application.appId !== undefined);
  if (adopted.length > 0) {
    const names = adopted.map(({ application }) => application.key).join(', ');
    throw new CommandError(
      `Adopted applications are not deleted: ${names}. Delete them where they were made.`,
    );
  }
  const names = remains.map(({ application, appId }) => `${application.displayName} (${appId})`);
  if (!options.json) terminal.stderr.write(names.map((name) => `- application ${oneLine(name)}\n`).join(''));
  if (names.length > 0 && !options.yes) await confirm(terminal, 'These are deleted, with their grants.');
  await provisioner.destroy();
  if (options.json) writeJson(terminal.stdout, { deleted: names });
  else {
    terminal.stdout.write(
      `${names.length} deleted. Entra keeps deleted applications for 30 days, and their App ID URIs with them.\n`,
    );
  }
};

const examples: Readonly<Record<string, string>> = {
  plan: `  countersign provision plan                     against the local system that runs
  countersign provision plan -f prod.yaml --az > commands.sh`,
  apply: `  countersign provision apply
  countersign provision apply -f prod.yaml --yes`,
  verify: '  countersign provision verify -f prod.yaml || echo drift',
  'rotate-secret': `  countersign provision rotate-secret api2
  countersign provision rotate-secret api2 --keep-old`,
  destroy: '  countersign provision destroy --yes',
};

/** `countersign provision`: makes a tenant as a file says, and says where it is not. */
export const addProvision = (program: Command, terminal: Terminal): void => {
  const provision = program
    .command('provision')
    .summary('set up API, caller, roles, consent and credentials in a tenant')
    .description(
      'Sets up applications, app roles, admin consent and credentials in a tenant, as a YAML file says. Signs in by AZURE_* variables, else as the local system’s provisioner, else by the Azure CLI.',
    );
  const add = (name: string, summary: string, argument?: string): Command => {
    const command = provision.command(name).summary(summary).description(summary);
    if (argument !== undefined) command.argument(argument);
    return command
      .option('-f, --file <file>', 'what the tenant should hold', packagedFile)
      .option('--data <folder>', 'folder of the local system', 'data')
      .option('--env-file <file>', 'read the AZURE_* variables to sign in with from a file')
      .option('--tenant <id>', 'in place of the file’s')
      .option('--authority <origin>', 'in place of the file’s')
      .option('--ca-file <file>', 'certificates to trust on top of the system’s')
      .option('--json', 'for programs')
      .addHelpText('after', `\nExamples:\n${examples[name]}`);
  };
  const run =
    (
      writes: boolean,
      work: (
        opened: { provisioner: Provisioner; file: ProvisionFile; graphOrigin: string },
        options: ProvisionOptions,
      ) => Promise<void>,
    ) =>
    async (options: ProvisionOptions): Promise<void> => {
      const { close, ...opened } = await open(options, terminal, writes);
      try {
        await work(opened, options);
      } finally {
        await close();
      }
    };

  add('plan', 'show what apply would change; ends with 2 if anything')
    .option('--az', 'print the same as commands of the Azure CLI')
    .action(
      run(false, async ({ provisioner, file, graphOrigin }, { az, json }) => {
        const plan = await provisioner.plan();
        if (az) terminal.stdout.write(azScript(plan, file, graphOrigin));
        else if (json) writeJson(terminal.stdout, describe(plan));
        else terminal.stdout.write(render(plan, painter(terminal.stdout)));
        terminal.end(plan.changes.length === 0 ? exitCodes.done : exitCodes.drift);
      }),
    );
  add('apply', 'make the tenant as the file says, and take a token to prove it')
    .option('--yes', 'delete what has to be deleted without asking')
    .action(run(true, ({ provisioner }, options) => applyAll(provisioner, options, terminal)));
  add('verify', 'compare tenant and file, and take a token; ends with 2 on a difference').action(
    run(false, ({ provisioner }, options) => verify(provisioner, options, terminal)),
  );
  add(
    'rotate-secret',
    'replace a secret: the old one is removed when the new one works and is kept',
    '[application]',
  )
    .option('--keep-old', 'leave the old one for who still uses it; apply removes it later')
    .action((key: string | undefined, options: ProvisionOptions) =>
      run(true, ({ provisioner }) => rotate(provisioner, key, options, terminal))(options),
    );
  add('destroy', 'delete the applications of the file')
    .option('--yes', 'without asking')
    .action(run(true, ({ provisioner }, options) => destroy(provisioner, options, terminal)));
};
