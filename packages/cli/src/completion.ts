import { Argument, type Command, type Option } from 'commander';
import type { Terminal } from './terminal.ts';

/** Each asks the command itself for what could come next. */
const scripts = {
  bash: `_countersign() {
  COMPREPLY=($(compgen -W "$(countersign complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _countersign countersign
`,
  zsh: `#compdef countersign
_countersign() {
  local -a candidates
  candidates=(\${(f)"$(countersign complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if (( \${#candidates} )); then compadd -a candidates; else _files; fi
}
if [[ $funcstack[1] == _countersign ]]; then _countersign "$@"; else compdef _countersign countersign; fi
`,
  fish: `function __countersign
  set -l words (commandline -opc) (commandline -ct)
  countersign complete -- $words[2..-1] 2>/dev/null
end
complete -c countersign -a '(__countersign)'
`,
} as const;

const optionOf = (command: Command, word: string | undefined): Option | undefined =>
  command.options.find(({ long, short }) => word !== undefined && (long === word || short === word));

/** What could stand for the last word: the values of an option or argument, else options and commands. */
export const candidates = (program: Command, words: readonly string[]): string[] => {
  let command = program;
  for (const word of words.slice(0, -1)) {
    command = command.commands.find((each) => each.name() === word) ?? command;
  }
  const last = words.at(-1) ?? '';
  const pending = optionOf(command, words.at(-2));
  const choices = pending?.required
    ? (pending.argChoices ?? [])
    : last.startsWith('-')
      ? [...command.options.flatMap(({ long }) => long ?? []), '--help']
      : [
          ...command
            .createHelp()
            .visibleCommands(command)
            .map((each) => each.name()),
          ...command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
        ];
  return choices.filter((choice) => choice.startsWith(last));
};

/** `countersign completion bash`: what a shell has to be told, and the hidden command that it asks. */
export const addCompletion = (program: Command, { stdout }: Terminal): void => {
  program
    .command('completion')
    .summary('print what makes a shell complete this command')
    .description('Prints what makes a shell complete commands, options and their values.')
    .addArgument(new Argument('<shell>').choices(Object.keys(scripts)))
    .addHelpText(
      'after',
      `
Examples:
  source <(countersign completion bash)
  source <(countersign completion zsh)      after compinit
  countersign completion fish > ~/.config/fish/completions/countersign.fish`,
    )
    .action((shell: keyof typeof scripts) => {
      stdout.write(scripts[shell]);
    });
  program
    .command('complete [words...]', { hidden: true })
    .allowUnknownOption()
    .action((words: string[]) => {
      stdout.write(
        candidates(program, words)
          .map((each) => `${each}\n`)
          .join(''),
      );
    });
};
