import { describe, expect, test } from '@jest/globals';
import { array, assert, constantFrom, integer, nat, property, tuple, uint8Array } from 'fast-check';
import { parseHead, type ResponseHead } from '../../src/transport/response-head.ts';
import { type ResponseEvents, ResponseParser } from '../../src/transport/response-parser.ts';
import { goodResponses } from './framing-cases.ts';

/** Everything that a response makes a parser say, as text. */
class Transcript implements ResponseEvents {
  heads = 0;
  ends = 0;
  late = 0;
  head = '';
  octets = '';
  body = '';
  end = '';

  onInformation(status: number, headers: string[]): void {
    this.late += this.heads;
    this.head += `${status} ${JSON.stringify(headers)}\n`;
    this.octets += headers.join('');
  }

  onHead({ status, reason, headers }: ResponseHead): void {
    this.heads += 1;
    this.head += `${status} ${reason} ${JSON.stringify(headers)}`;
    this.octets += reason + headers.join('');
  }

  onBody(chunk: Buffer): boolean {
    this.late += this.ends;
    this.body += chunk.toString('latin1');
    return true;
  }

  onComplete(trailers: string[], clean: boolean): void {
    this.ends += 1;
    this.end = `${JSON.stringify(trailers)} ${clean}`;
  }
}

const parse = (bytes: Buffer, cuts: number[], method: string, into = new Transcript()): Transcript => {
  const parser = new ResponseParser(into);
  parser.start(method);
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  for (let index = 1; index < at.length; index += 1) {
    // The memory of a piece is used again after the call.
    const piece = Buffer.from(bytes.subarray(at[index - 1], at[index]));
    parser.execute(piece);
    piece.fill(0x21);
  }
  parser.finish();
  return into;
};

const responses = goodResponses.map(({ bytes, method = 'GET' }) => ({
  bytes: Buffer.from(bytes, 'latin1'),
  method,
}));

describe('a response parser', () => {
  test('hears the same however a response is cut', () => {
    const cuts = array(nat(), { maxLength: 12 });
    assert(
      property(constantFrom(...responses), cuts, ({ bytes, method }, at) => {
        expect(parse(bytes, at, method)).toEqual(parse(bytes, [], method));
      }),
      { numRuns: 3000 },
    );
  });

  test.each(goodResponses)('cut in two anywhere: $name', ({ bytes: text, method = 'GET' }) => {
    const bytes = Buffer.from(text, 'latin1');
    const whole = parse(bytes, [], method);
    const differing = Array.from(bytes, (_, cut) => parse(bytes, [cut], method)).filter(
      (transcript) => JSON.stringify(transcript) !== JSON.stringify(whole),
    );
    expect(differing).toEqual([]);
  });

  const isSane = (bytes: Buffer, cuts: number[], method: string): boolean => {
    const transcript = new Transcript();
    try {
      parse(bytes, cuts, method, transcript);
    } catch (error) {
      if ((error as Error).name !== 'ResponseSyntaxError') throw error;
    }
    return (
      transcript.heads <= 1 &&
      transcript.ends <= transcript.heads &&
      transcript.late === 0 &&
      // Nothing that ends a line or a string gets through.
      !/[\0\r\n]/.test(transcript.octets)
    );
  };

  // Every octet that means something to one part of the grammar, and some that mean nothing to any.
  const telling = Buffer.from('\0\t\n\v\r\x1f !"+,-./0159:;=AFHXafhx~\x7f\x80\xa0\xff', 'latin1');

  test('with any byte changed says one thing or nothing', () => {
    for (const { bytes, method } of responses) {
      for (let index = 0; index < bytes.length; index += 1) {
        const changed = Buffer.from(bytes);
        for (const octet of telling) {
          changed[index] = octet;
          if (!isSane(changed, [], method))
            throw new Error(`${index}: ${JSON.stringify(changed.toString('latin1'))}`);
        }
      }
    }
    expect(responses.length).toBeGreaterThan(10);
  });

  test('with bytes put in, taken out or repeated says one thing or nothing', () => {
    const edit = tuple(nat(), nat(6), uint8Array({ maxLength: 6 }));
    let count = 0;
    assert(
      property(
        constantFrom(...responses),
        array(edit, { minLength: 1, maxLength: 4 }),
        integer(),
        (response, edits, cut) => {
          count += 1;
          let bytes = response.bytes;
          for (const [at, gone, added] of edits) {
            const start = at % (bytes.length + 1);
            bytes = Buffer.concat([bytes.subarray(0, start), added, bytes.subarray(start + gone)]);
          }
          return isSane(bytes, [Math.abs(cut)], response.method);
        },
      ),
      { numRuns: 20_000 },
    );
    expect(count).toBe(20_000);
  });

  test('holds back what comes after a refused piece', () => {
    const taken: string[] = [];
    let ends = 0;
    const parser = new ResponseParser({
      onInformation() {},
      onHead() {},
      onBody: (chunk) => taken.push(chunk.toString()) % 2 === 0,
      onComplete: () => (ends += 1),
    });
    parser.start('GET');
    const bytes =
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n';
    expect(parser.execute(Buffer.from(bytes))).toBe(false);
    expect(taken).toEqual(['a']);
    expect(parser.resume()).toBe(false);
    expect(taken).toEqual(['a', 'b', 'c']);
    expect(ends).toBe(0);
    expect(parser.resume()).toBe(true);
    expect(ends).toBe(1);
  });

  test('passes over a 100 that nobody waited for', () => {
    const bytes = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n';
    expect(parse(Buffer.from(bytes), [], 'GET').head).toBe('204 No Content []');
  });

  test('takes blanks around a value away, and no other octet', () => {
    const transcript = parse(
      Buffer.from('HTTP/1.1 200 OK\r\nA: \t\xa0b\xa0 \t\r\nContent-Length: 0\r\n\r\n', 'latin1'),
      [],
      'GET',
    );
    expect(transcript.head).toBe('200 OK ["A","\xa0b\xa0","Content-Length","0"]');
  });

  test.each([
    ['HTTP/1.1', '', true],
    ['HTTP/1.1', 'Connection: close', false],
    ['HTTP/1.1', 'connection: x,\t CLOSE', false],
    ['HTTP/1.1', 'Connection: close\r\nConnection: keep-alive', false],
    ['HTTP/1.1', 'Connection: not-close', true],
    ['HTTP/1.0', '', false],
    ['HTTP/1.0', 'Connection: Keep-Alive', true],
  ])('%s with "%s" is persistent: %s', (version, field, persistent) => {
    const lines = [`${version} 200 OK`, 'Content-Length: 0', ...(field === '' ? [] : [field]), ''];
    expect(parseHead(lines.join('\r\n')).persistent).toBe(persistent);
  });

  test.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', false],
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', true],
    ['GET', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n', false],
    ['GET', 'HTTP/1.1 304 Not Modified\r\n\r\n', true],
    ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab', false],
  ])('to %s %j is clean: %s', (method, bytes, clean) => {
    expect(parse(Buffer.from(bytes), [], method).end).toBe(`[] ${clean}`);
  });
});
