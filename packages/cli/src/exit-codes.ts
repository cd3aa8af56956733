/** What the command ends with; docs/cli.md lists them. */
export const exitCodes = {
  done: 0,
  /** Something is wrong with what was looked at, or the command could not do its work. */
  fault: 1,
  /** `provision plan` and `verify`: the tenant is not as the file says. */
  drift: 2,
  /** An option, argument or file that cannot be meant (EX_USAGE of sysexits.h). */
  usage: 64,
} as const;
