import { setTimeout as wait } from 'node:timers/promises';
import { createEntraNetwork } from '@countersign/shared-auth';
import type { Command } from 'commander';
import { agentFor } from '../call-command.ts';
import { UsageError } from '../command-error.ts';
import { exitCodes } from '../exit-codes.ts';
import { addTargetOptions, readTarget, type Target, type TargetOptions } from '../target.ts';
import { jsonText, oneLine, type Paint, painter, type Terminal, writeJson } from '../terminal.ts';
import { authoritySteps, type AuthorityFacts } from './authority-steps.ts';
import { callSteps } from './call-steps.ts';
import { credentialSteps, type TokenFacts } from './credential-steps.ts';
import { examine, type Finding } from './examination.ts';

interface DoctorOptions extends TargetOptions {
  watch?: boolean;
  every: string;
  json?: boolean;
}

/** Everything between the caller's settings and an answer of the API, in the order of cause. */
export const diagnose = async (
  target: Target,
  onFinding: (finding: Finding) => void = () => {},
): Promise<Finding[]> => {
  const network = createEntraNetwork({
    timeoutMs: 10_000,
    ...(target.ca !== undefined && { ca: target.ca }),
  });
  const dispatcher = agentFor(target.ca);
  const authority: AuthorityFacts = {};
  const token: TokenFacts = {};
  try {
    const steps = [
      ...authoritySteps(target, network, authority),
      ...credentialSteps(target, network, authority, token),
      ...callSteps(target, dispatcher, { accessToken: () => token.accessToken }),
    ];
    return await examine(steps, onFinding);
  } finally {
    network.close();
    await dispatcher.destroy();
  }
};

const marks = {
  passed: ['green', '✓'],
  failed: ['red', '✗'],
  warned: ['yellow', '!'],
  skipped: ['gray', '·'],
} as const;

const line = ({ title, verdict, detail, remedy, durationMs }: Finding, paint: Paint): string => {
  const [colour, mark] = marks[verdict];
  const time = verdict === 'skipped' ? '' : `${durationMs.toFixed(0)} ms`;
  const head = `${paint(colour, mark)} ${title.padEnd(38)} ${time.padStart(8)}  ${oneLine(detail)}`;
  return `${remedy === undefined ? head : `${head}\n    ${paint(colour, oneLine(remedy))}`}\n`;
};

const summary = (findings: readonly Finding[], paint: Paint): string => {
  const cause = findings.find(({ verdict }) => verdict === 'failed');
  if (cause === undefined) {
    const open = findings.some(({ step, verdict }) => verdict === 'skipped' && step !== 'redis');
    const words = open ? 'All is well in what could be looked at.' : 'All is well.';
    return `\n${paint(['bold', open ? 'yellow' : 'green'], words)}\n`;
  }
  return `\n${paint(['bold', 'red'], 'To mend first')}: ${oneLine(cause.detail)}\n${oneLine(cause.remedy ?? '')}\n`;
};

/** What is worth telling of: how a step ended, and why; not how many seconds or days that is now. */
const stateOf = ({ step, verdict, detail }: Finding): string =>
  verdict === 'failed' ? `${step} ${detail.replaceAll(/\d+ (?=s|days|min)/g, '')}` : `${step} ${verdict}`;

/** `countersign doctor`: which link of the chain is broken, and what to do. */
export const addDoctor = (program: Command, { env, stdout, end, untilStopped }: Terminal): void => {
  const command = program
    .command('doctor')
    .summary('find out why a call does not work')
    .description(
      'Looks at the whole chain in the order of cause: DNS, TLS, clock, discovery, keys, credential, token, the policy of the API, the call direct and through the gateway. The first that fails is the cause.',
    );
  addTargetOptions(command)
    .option('--watch', 'go on looking, and tell of every change')
    .option('--every <seconds>', 'with --watch: how often', '10')
    .option('--json', 'for programs; with --watch one line each time')
    .addHelpText(
      'after',
      `
Examples:
  countersign doctor                       the local system that runs
  countersign doctor --env-file .env --records-api http://localhost:8081
  docker compose run --rm countersign doctor
  kubectl debug <pod of caller-api> --copy-to doctor --keep-labels --attach --container caller-api \\
    --set-image caller-api=<registry>/countersign/cli -- node /app/packages/cli/dist/main.js doctor
  countersign doctor --watch

Ends with 1 when something fails; --watch ends with Ctrl-C, as the last look did. Takes a token and makes three calls; changes nothing.`,
    )
    .action(async (options: DoctorOptions) => {
      const seconds = Number(options.every);
      if (!(seconds >= 1 && seconds <= 86_400)) throw new UsageError('--every has to be 1 to 86400 seconds.');
      const paint = painter(stdout);
      const once = async (show: (finding: Finding) => void): Promise<Finding[]> => {
        const findings = await diagnose(readTarget(options, env), show);
        end(findings.some(({ verdict }) => verdict === 'failed') ? exitCodes.fault : exitCodes.done);
        return findings;
      };
      if (!options.watch) {
        const findings = await once(
          options.json ? () => {} : (finding) => stdout.write(line(finding, paint)),
        );
        if (options.json)
          writeJson(stdout, { cause: findings.find(({ verdict }) => verdict === 'failed'), findings });
        else stdout.write(summary(findings, paint));
        return;
      }
      let before = '';
      const signal = untilStopped();
      while (!signal.aborted) {
        const findings = await once(() => {});
        const now = findings.map(stateOf).join();
        const at = new Date().toISOString();
        if (options.json) stdout.write(`${jsonText({ at, findings })}\n`);
        else if (now !== before) {
          stdout.write(
            `${paint('gray', at)}\n${findings.map((each) => line(each, paint)).join('')}${summary(findings, paint)}`,
          );
        }
        before = now;
        await wait(seconds * 1000, undefined, { signal }).catch(() => {});
      }
    });
};
