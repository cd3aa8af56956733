import type { IncomingMessage, ServerResponse } from 'node:http';
import { PassThrough } from 'node:stream';
import { ProblemError } from '@countersign/service-kit';
import { type Dispatcher, errors } from 'undici';
import { requestHeaders, responseHeaders } from './forwarded-headers.ts';

export interface ExchangeOptions {
  dispatcher: Dispatcher;
  /** Name of the upstream, for the log. */
  upstream: string;
  request: IncomingMessage;
  response: ServerResponse;
  /** Headers that the gateway sets on the upstream's request, by lower-case name. */
  headers: Readonly<Record<string, string>>;
}

/**
 * Sends a request on and streams the answer back, with backpressure both ways. A client that goes away cancels the
 * upstream's work; an upstream that dies in the middle of its answer breaks the client's connection, so that half an
 * answer never looks whole.
 *
 * @throws {ProblemError} 502 or 504 when the upstream gave no answer. After the head of an answer it never rejects.
 */
export const exchange = (options: ExchangeOptions): Promise<void> => {
  const { dispatcher, request, response, upstream } = options;
  return new Promise((resolve, reject) => {
    let control: Dispatcher.DispatchController | undefined;
    response.once('close', () => {
      if (!response.writableFinished) control?.abort(new Error('the client went away'));
      resolve();
    });
    const resume = (): void => control?.resume();
    response.on('drain', resume);

    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(controller) {
        control = controller;
        if (response.destroyed) controller.abort(new Error('the client went away'));
      },
      onResponseStart(controller, status, _headers, statusText) {
        if (status < 200) return;
        response.sendDate = false;
        response.writeHead(
          status,
          statusText ?? '',
          responseHeaders((controller.rawHeaders ?? []) as Buffer[]),
        );
      },
      onResponseData(controller, chunk) {
        if (!response.write(chunk)) controller.pause();
      },
      onResponseEnd() {
        response.end();
      },
      onResponseError(_controller, error) {
        if (response.headersSent) response.destroy();
        else reject(toProblem(error, upstream));
      },
    };
    dispatcher.dispatch(
      {
        path: request.url as string,
        method: request.method as string,
        headers: requestHeaders(request, options.headers),
        body: hasBody(request) ? request.pipe(new PassThrough()) : null,
      },
      handler,
    );
  });
};

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

const timeouts = [errors.HeadersTimeoutError, errors.BodyTimeoutError, errors.ConnectTimeoutError];

const toProblem = (error: Error, upstream: string): ProblemError => {
  const timedOut = timeouts.some((type) => error instanceof type);
  return new ProblemError(
    timedOut ? 'The service behind took too long.' : 'The service behind did not answer.',
    {
      status: timedOut ? 504 : 502,
      code: timedOut ? 'upstream_timeout' : 'upstream_unreachable',
      logFields: { upstream },
      cause: error,
    },
  );
};
