import { Command, InvalidArgumentError } from 'commander';
import { addCall } from './call-command.ts';
import { addCompletion } from './completion.ts';
import { addLogs } from './logs/logs-command.ts';
import { addProvision } from './provision/provision-command.ts';
import { addDoctor } from './doctor/doctor-command.ts';
import { addExplain } from './explain/explain-command.ts';
import { start, type StartOptions } from './start.ts';
import type { Terminal } from './terminal.ts';
import { addToken } from './token-command.ts';

const port = (text: string): number => {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number > 65_535) throw new InvalidArgumentError('It must be 0 to 65535.');
  return number;
};

/** The command and everything under it. It throws CommanderError where commander would end the process. */
export const createProgram = (terminal: Terminal): Command => {
  const program = new Command('countersign')
    .description('Runs, sets up and inspects app-only calls between APIs.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .showHelpAfterError('(--help says more)')
    .addHelpText(
      'after',
      `
Ends with 0 when all is well, 1 when something is wrong, 2 when the tenant is not as the file says,
64 when the command cannot be meant. NO_COLOR turns colours off.`,
    );

  program
    .command('start')
    .summary('run the whole system on loopback, with a local Entra')
    .description('run the whole system on loopback, with a local Entra')
    .option('--data <folder>', 'where records, keys and secrets are kept', 'data')
    .option('--gateway-port <port>', 'default 8080', port)
    .option('--admin-port <port>', 'of the gateway, default 9080', port)
    .option('--records-port <port>', 'default 8081', port)
    .option('--caller-port <port>', 'default 8082', port)
    .option('--entra-port <port>', 'default 8443', port)
    .action(async (options: StartOptions) => {
      terminal.end(await start(options, terminal));
    });
  addToken(program, terminal);
  addCall(program, terminal);
  addExplain(program, terminal);
  addDoctor(program, terminal);
  addLogs(program, terminal);
  addProvision(program, terminal);
  addCompletion(program, terminal);
  return program;
};
