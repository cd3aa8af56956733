import { Argument, type Command } from 'commander';
import { addTargetOptions, readTarget, type TargetOptions } from './target.ts';
import { type Terminal, writeJson } from './terminal.ts';
import {
  claimsOf,
  type LocalApplication,
  localApplicationNames,
  masked,
  takeToken,
  takeTokenFor,
} from './token.ts';

interface TokenCommandOptions extends TargetOptions {
  show?: boolean;
  claims?: boolean;
  json?: boolean;
}

/** `countersign token`: an access token for the API, of a seeded application or of the one that is configured. */
export const addToken = (program: Command, { env, stdout }: Terminal): void => {
  const command = program
    .command('token')
    .summary('take an access token for the API')
    .description(
      'Takes an access token for the API. Of an application of the running local Entra it is printed as it is; of the configured application masked, unless --show asks for it.',
    )
    .addArgument(
      new Argument('[application]', 'an application of the running local Entra').choices(
        localApplicationNames,
      ),
    );
  addTargetOptions(command)
    .option('--show', 'print the token itself')
    .option('--claims', 'print what it says instead')
    .option('--json', 'for programs')
    .addHelpText(
      'after',
      `
Examples:
  curl http://localhost:8080/api/records -H "Authorization: Bearer $(npm run -s token -- api2)"
  countersign token api3 --claims
  countersign token --env-file .env --show`,
    )
    .action(async (application: LocalApplication | undefined, options: TokenCommandOptions) => {
      const accessToken =
        application === undefined
          ? (await takeTokenFor(readTarget(options, env))).accessToken
          : await takeToken(application, options.data);
      const isShown = options.show === true || application !== undefined;
      const token = isShown ? accessToken : masked(accessToken);
      const claims = claimsOf(accessToken);
      if (options.json) writeJson(stdout, { accessToken: token, claims });
      else if (options.claims) writeJson(stdout, claims);
      else stdout.write(`${token}\n`);
    });
};
