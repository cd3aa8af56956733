/** A line on a terminal; elsewhere nothing. */
export interface ProgressLine {
  show: (records: number) => void;
  clear: () => void;
  end: (records: number) => void;
}

const intervalMs = 100;

export const showProgress = (stream: NodeJS.WriteStream): ProgressLine => {
  if (!stream.isTTY) return { show: () => undefined, clear: () => undefined, end: () => undefined };
  const startMs = performance.now();
  let shownMs = -Infinity;
  let first: number | undefined;
  const draw = (records: number): void => {
    const seconds = (performance.now() - startMs) / 1000;
    const perSecond = Math.round((records - (first ?? 0)) / seconds);
    const count = records.toLocaleString('en');
    stream.write(
      `\r\u001B[K${count} records, ${seconds.toFixed(1)} s, ${perSecond.toLocaleString('en')} per second`,
    );
  };
  const clear = (): void => void stream.write('\r\u001B[K');
  return {
    show(records) {
      // What an earlier run has brought is not this one's pace.
      first ??= records - Math.min(records, 1_000);
      if (performance.now() - shownMs < intervalMs) return;
      shownMs = performance.now();
      draw(records);
    },
    clear,
    end(records) {
      draw(records);
      stream.write('\n');
    },
  };
};
