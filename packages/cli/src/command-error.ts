/** Why the command could not do its work: shown as one sentence. */
export class CommandError extends Error {
  override readonly name: string = 'CommandError';
}

/** A mistake of the person at the keyboard: shown as one sentence. */
export class UsageError extends CommandError {
  override readonly name = 'UsageError';
}
