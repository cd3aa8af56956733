#!/usr/bin/env node
import { AuthError } from '@countersign/shared-auth';
import { Argument, Command, InvalidArgumentError } from 'commander';
import { ServiceStartError } from './service-process.ts';
import { start, type StartOptions } from './start.ts';
import { type LocalApplication, localApplicationNames, takeToken, UsageError } from './token.ts';

const port = (text: string): number => {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number > 65_535) throw new InvalidArgumentError('It must be 0 to 65535.');
  return number;
};

const program = new Command('countersign').description('Runs and inspects app-only calls between APIs.');

program
  .command('start')
  .description('run the whole system on loopback, with a local Entra')
  .option('--data <folder>', 'where records, keys and secrets are kept', 'data')
  .option('--gateway-port <port>', 'default 8080', port)
  .option('--admin-port <port>', 'of the gateway, default 9080', port)
  .option('--records-port <port>', 'default 8081', port)
  .option('--caller-port <port>', 'default 8082', port)
  .option('--entra-port <port>', 'default 8443', port)
  .action(async (options: StartOptions) => {
    const { env, stdout, stderr } = process;
    process.exitCode = await start(options, { env, stdout, stderr });
  });

program
  .command('token')
  .description('print an access token for records-api, taken by an application of the running local Entra')
  .addArgument(new Argument('<application>').choices(localApplicationNames))
  .option('--data <folder>', 'the data folder of the running system', 'data')
  .action(async (application: LocalApplication, options: { data: string }) => {
    process.stdout.write(`${await takeToken(application, options.data)}\n`);
  });

try {
  await program.parseAsync();
} catch (error) {
  const expected =
    error instanceof UsageError || error instanceof ServiceStartError || error instanceof AuthError;
  process.stderr.write(
    `${expected ? (error as Error).message : ((error as Error).stack ?? String(error))}\n`,
  );
  process.exitCode = 1;
}
