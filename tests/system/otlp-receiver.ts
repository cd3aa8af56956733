import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A span as it came by OTLP. */
export interface ReceivedSpan {
  service: string;
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  /** 1 internal, 2 server (opentelemetry/proto/trace/v1/trace.proto). */
  kind: number;
  startMs: number;
  endMs: number;
  attributes: Readonly<Record<string, string | number>>;
}

export interface OtlpReceiver {
  url: string;
  /** All that came so far. */
  spans: readonly ReceivedSpan[];
  [Symbol.dispose]: () => void;
}

/** A collector, as far as one is needed: takes spans as protobuf over HTTP. */
export const startOtlpReceiver = async (): Promise<OtlpReceiver> => {
  const spans: ReceivedSpan[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const isTraces =
      request.url === '/v1/traces' && request.headers['content-type'] === 'application/x-protobuf';
    if (isTraces) spans.push(...readRequest(Buffer.concat(chunks)));
    response.writeHead(isTraces ? 200 : 404, { 'content-type': 'application/x-protobuf' }).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${port}`, spans, [Symbol.dispose]: close };
};

type Fields = ReadonlyMap<number, readonly (Buffer | bigint)[]>;

/** The fields of a message by number (https://protobuf.dev/programming-guides/encoding/). */
const fieldsOf = (message: Buffer): Fields => {
  const fields = new Map<number, (Buffer | bigint)[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at] as number;
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const bytes = (length: number): Buffer => {
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = Number(varint());
    const type = tag & 7;
    const value = type === 0 ? varint() : bytes(type === 1 ? 8 : type === 5 ? 4 : Number(varint()));
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), value]);
  }
  return fields;
};

const messages = (fields: Fields, number: number): Fields[] =>
  (fields.get(number) ?? []).map((each) => fieldsOf(each as Buffer));
const bytesOf = (fields: Fields, number: number): Buffer =>
  (fields.get(number)?.[0] as Buffer | undefined) ?? Buffer.alloc(0);
const millisecondsOf = (fields: Fields, number: number): number =>
  Number(bytesOf(fields, number).readBigUInt64LE()) / 1e6;

const readRequest = (body: Buffer): ReceivedSpan[] =>
  messages(fieldsOf(body), 1).flatMap((resourceSpans) => {
    const [resource = new Map()] = messages(resourceSpans, 1);
    const service = String(attributesOf(resource, 1)['service.name']);
    return messages(resourceSpans, 2).flatMap((scopeSpans) =>
      messages(scopeSpans, 2).map((span) => readSpan(span, service)),
    );
  });

const readSpan = (span: Fields, service: string): ReceivedSpan => ({
  service,
  traceId: bytesOf(span, 1).toString('hex'),
  spanId: bytesOf(span, 2).toString('hex'),
  parentSpanId: bytesOf(span, 4).toString('hex'),
  name: bytesOf(span, 5).toString(),
  kind: Number(span.get(6)?.[0] ?? 0n),
  startMs: millisecondsOf(span, 7),
  endMs: millisecondsOf(span, 8),
  attributes: attributesOf(span, 9),
});

const attributesOf = (fields: Fields, number: number): Record<string, string | number> =>
  Object.fromEntries(
    messages(fields, number).map((pair) => {
      const [value = new Map() as Fields] = messages(pair, 2);
      const text = value.get(1)?.[0] as Buffer | undefined;
      const double = value.get(4)?.[0] as Buffer | undefined;
      const whole = Number(value.get(3)?.[0] ?? value.get(2)?.[0] ?? 0n);
      return [bytesOf(pair, 1).toString(), text?.toString() ?? double?.readDoubleLE() ?? whole];
    }),
  );
