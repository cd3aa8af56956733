import { oneLine, type Paint, shown, type Style } from '../terminal.ts';
import { type Span, stepsOf } from './span.ts';
import { hasFailed, type SpanNode, type Trace } from './trace.ts';

const chartWidth = 40;

export const milliseconds = (ms: number): string =>
  ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;

export const statusStyle = (status: number | undefined): Style =>
  status === undefined || status >= 500 ? 'red' : status >= 400 ? 'yellow' : 'green';

/** A part of the chart: from and to in shares of the whole, at least one column wide. */
const bar = (from: number, length: number, character: string): string => {
  const start = Math.max(0, Math.min(chartWidth - 1, Math.floor(from * chartWidth)));
  const width = Math.max(1, Math.min(chartWidth - start, Math.round(length * chartWidth)));
  return `${' '.repeat(start)}${character.repeat(width)}`.padEnd(chartWidth);
};

const labelWidth = 52;
const label = (depth: number, text: string): string => {
  const line = `${'  '.repeat(depth)}${oneLine(text)}`;
  return line.length > labelWidth ? `${line.slice(0, labelWidth - 1)}…` : line.padEnd(labelWidth);
};

const nameOf = ({ service, method, route }: Span): string => `${service} ${method} ${route}`;

const nodeLines = (node: SpanNode, depth: number, trace: Trace, paint: Paint): string[] => {
  const { span, startMs, children } = node;
  const share = (ms: number): number => ms / Math.max(trace.durationMs, 0.001);
  const style = statusStyle(span.status);
  const isCulprit = node === trace.culprit;
  const line = (
    text: string,
    fromMs: number,
    durationMs: number,
    character: string,
    barStyle: Style,
  ): string =>
    `${text} ▕${paint(barStyle, bar(share(fromMs), share(durationMs), character))}▏ ${milliseconds(durationMs)}`;
  return [
    `${line(`${label(depth, nameOf(span))} ${paint(style, String(span.status ?? '–').padStart(3))}`, startMs - trace.startMs, span.durationMs, '█', style)}${isCulprit ? paint(['bold', 'red'], ' ◀ cause') : ''}`,
    ...(span.cause !== undefined && (isCulprit || hasFailed(span))
      ? [paint(isCulprit ? 'red' : 'gray', `${'  '.repeat(depth)}  ${shown(span.cause, 200)}`)]
      : []),
    ...stepsOf(span).map(({ name, atMs, durationMs, outcome }) => {
      const text = label(depth + 1, `· ${name}${outcome === undefined ? '' : ` (${outcome})`}`);
      return line(`${text}    `, startMs - trace.startMs + atMs, durationMs, '▒', 'cyan');
    }),
    ...children.flatMap((child) => nodeLines(child, depth + 1, trace, paint)),
  ];
};

/** How a service's clock is off, in words. */
export const skewWords = ({ skews }: Trace): string[] =>
  [...skews].map(
    ([service, ms]) =>
      `clock of ${service} ${milliseconds(Math.abs(ms))} ${ms > 0 ? 'ahead' : 'behind'}: corrected`,
  );

/** One request as a picture for a terminal. */
export const renderWaterfall = (trace: Trace, paint: Paint): string => {
  const [root] = trace.roots;
  if (root === undefined) return '';
  const { span } = root;
  return [
    `${paint('bold', oneLine(`${span.method} ${span.path}`))}  ${paint(statusStyle(span.status), String(span.status ?? '–'))}  ${milliseconds(trace.durationMs)}`,
    paint(
      'gray',
      oneLine(`${new Date(span.startMs).toISOString()}  trace ${trace.id}  request ${span.requestId}`),
    ),
    ...skewWords(trace).map((words) => paint('yellow', oneLine(words))),
    ...trace.roots.flatMap((each) => nodeLines(each, 0, trace, paint)),
    '',
  ].join('\n');
};
