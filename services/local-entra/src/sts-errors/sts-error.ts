import { errorTable, type StsErrorCause, type StsErrorRow } from './error-table.ts';

/** Values of a request that an error's text quotes. Longer ones are cut. */
export type StsErrorValues = Readonly<Record<string, string>>;

const maxQuotedLength = 500;

/** A refusal in Entra's words. */
export class StsError extends Error {
  override readonly name = 'StsError';
  /** Key in the error table. */
  readonly reason: StsErrorCause;
  readonly row: StsErrorRow;
  /** What the log and the status page say on top: plain words for the person who has to find the cause. */
  readonly detail: string | undefined;

  constructor(reason: StsErrorCause, values: StsErrorValues = {}, detail?: string) {
    const row: StsErrorRow = errorTable[reason];
    super(
      row.text.replaceAll(/\{(\w+)\}/g, (_, name: string) => (values[name] ?? '').slice(0, maxQuotedLength)),
    );
    this.reason = reason;
    this.row = row;
    this.detail = detail;
  }
}
