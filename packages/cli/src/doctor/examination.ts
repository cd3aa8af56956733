/** What one step of an examination found. */
export interface Finding {
  /** Such as `tls` or `token`. */
  step: string;
  /** In words: what was looked at. */
  title: string;
  verdict: 'passed' | 'failed' | 'warned' | 'skipped';
  /** What was seen. */
  detail: string;
  /** What to do about it. */
  remedy?: string;
  durationMs: number;
}

/** What a step resolves to when it passes. */
export interface Passed {
  detail: string;
  /** Passed, but somebody should look. */
  warning?: string;
}

/** Why a step failed, and what to do. */
export class Fault extends Error {
  override readonly name = 'Fault';
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}

/** Why a step has nothing to look at. */
export class Skipped extends Error {
  override readonly name = 'Skipped';
}

export interface Step {
  name: string;
  title: string;
  /** Steps without which this one says nothing. */
  needs: readonly string[];
  examine: () => Promise<Passed>;
}

const findingOf = async ({ name, title, examine }: Step): Promise<Finding> => {
  const startMs = performance.now();
  const base = (): Pick<Finding, 'durationMs' | 'step' | 'title'> => ({
    step: name,
    title,
    durationMs: performance.now() - startMs,
  });
  try {
    const { detail, warning } = await examine();
    return {
      ...base(),
      verdict: warning === undefined ? 'passed' : 'warned',
      detail,
      ...(warning && { remedy: warning }),
    };
  } catch (error) {
    if (error instanceof Skipped) return { ...base(), verdict: 'skipped', detail: error.message };
    if (error instanceof Fault) {
      return { ...base(), verdict: 'failed', detail: error.message, remedy: error.remedy };
    }
    return {
      ...base(),
      verdict: 'failed',
      detail: (error as Error).message,
      remedy: 'Nothing known about this one.',
    };
  }
};

/** Makes the steps in the order of cause. What needs one that failed is skipped: its failure would be a symptom. */
export const examine = async (
  steps: readonly Step[],
  onFinding: (finding: Finding) => void,
): Promise<Finding[]> => {
  const findings = new Map<string, Finding>();
  for (const step of steps) {
    const missing = step.needs.find((name) => {
      const verdict = findings.get(name)?.verdict;
      return verdict === 'failed' || verdict === 'skipped';
    });
    const { name, title } = step;
    const finding: Finding =
      missing === undefined
        ? await findingOf(step)
        : { step: name, title, verdict: 'skipped', detail: `needs: ${missing}`, durationMs: 0 };
    findings.set(name, finding);
    onFinding(finding);
  }
  return [...findings.values()];
};
