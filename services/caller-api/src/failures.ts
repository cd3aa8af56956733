import { ProblemError, withoutTokens } from '@countersign/service-kit';
import { DownstreamError, IdentityUnavailableError, TokenAcquisitionError } from '@countersign/shared-auth';
import type { Middleware } from 'koa';
import type { JourneyState } from './journey.ts';

/** What is likely wrong, and what who runs this does about it. */
export interface Advice {
  cause: string;
  remedy: string;
}

export interface FailureState extends JourneyState {
  advice?: Advice;
}

const maxLoggedBody = 2_048;
/** Before that, nobody has mended what Entra refuses. */
const refusedRetrySeconds = '30';

/** Puts advice on a failure beside it, for the page. */
export const explainFailures: Middleware<FailureState> = async function explainFailures(ctx, next) {
  try {
    await next();
  } catch (error) {
    const advice = adviceOn(error);
    if (advice) ctx.state.advice = advice;
    throw error;
  }
};

/** A failure of records-api, or to get a token for it, as an answer of this service. Others are left as they are. */
export const toOwnAnswer = (error: unknown): unknown => {
  if (error instanceof DownstreamError) return passOn(error);
  if (!(error instanceof TokenAcquisitionError)) return error;
  return new ProblemError(error.message, {
    status: error.status,
    code: error.code,
    headers: { 'Retry-After': refusedRetrySeconds },
    logFields: error.logFields,
    cause: error,
  });
};

/** What is said of this service and not of who calls it: its token, its address, its pace. */
const aboutThisService = new Set([401, 403, 407, 408, 421, 429]);

/** What the caller did wrong is told as records-api tells it; the rest is a 502, 503 or 504. The body goes to the log. */
const passOn = (error: DownstreamError): ProblemError => {
  const { downstream, body = '' } = error;
  const { code, detail, errors } = readProblem(body);
  const logFields = {
    ...error.logFields,
    ...(body !== '' && { downstream_body: withoutTokens(body).slice(0, maxLoggedBody) }),
  };
  const { status = 0 } = downstream;
  if (status >= 400 && status < 500 && !aboutThisService.has(status)) {
    const { etag } = error.answerHeaders;
    return new ProblemError(detail ?? error.message, {
      status,
      code: code ?? error.code,
      headers: typeof etag === 'string' ? { ETag: etag } : {},
      members: { ...(errors && { errors }), downstream },
      logFields,
      cause: error,
    });
  }
  return new ProblemError(error.message, {
    status: error.status,
    code: error.code,
    headers: error.headers,
    members: { downstream: { ...downstream, ...(detail !== undefined && { detail }) } },
    logFields,
    cause: error,
  });
};

const readProblem = (body: string): { code?: string; detail?: string; errors?: unknown[] } => {
  try {
    const { code, detail, errors } = Object(JSON.parse(body)) as Record<string, unknown>;
    return {
      ...(typeof code === 'string' && /^[a-z][a-z0-9_]{0,63}$/.test(code) && { code }),
      ...(typeof detail === 'string' && { detail: withoutTokens(detail).slice(0, 500) }),
      ...(Array.isArray(errors) && { errors: errors.slice(0, 100) }),
    };
  } catch {
    return {};
  }
};

const adviceOn = (error: unknown): Advice | undefined => {
  if (error instanceof ProblemError) {
    return error.code === 'downstream_invalid' ? adviceOnNonsense : adviceOn(error.cause);
  }
  if (error instanceof TokenAcquisitionError) return refusedByEntra(error);
  if (error instanceof IdentityUnavailableError) {
    return {
      cause: 'Entra could not be reached, or gave no answer that can be used, and there is no token at hand.',
      remedy:
        'Check AZURE_AUTHORITY_HOST, and from this service the name resolution, proxy and firewall to it; CA_FILE where its certificate is not one that everybody trusts. Services with a token at hand do not notice a short outage.',
    };
  }
  return error instanceof DownstreamError ? adviceOnRecordsApi(error) : undefined;
};

const refusedByEntra = ({ refusal }: TokenAcquisitionError): Advice => {
  const { aadsts, explanation, correlationId } = refusal;
  const number = aadsts === undefined ? '' : ` (AADSTS${aadsts})`;
  const trace = correlationId === undefined ? '' : `, where the correlation id is ${correlationId}`;
  return {
    cause: `Entra refuses this application its token${number}. ${explanation}`,
    remedy: `Look at the sign-in logs of the service principal${trace}; "countersign doctor" tries the credential step by step.`,
  };
};

const adviceOnNonsense: Advice = {
  cause: 'Something answers at the address of records-api that is not it, or is another version of it.',
  remedy:
    'Check RECORDS_API_URL: a proxy or a page to sign in may stand before records-api. Else see that both services are of the same release.',
};

const adviceOnRecordsApi = ({ code, downstream }: DownstreamError): Advice | undefined => {
  if (downstream.status === 403) {
    return {
      cause: 'records-api knows this application, but nobody granted it the app role that this takes.',
      remedy:
        'Grant the application access_as_application_API1 (to write: write_as_application_API1) on records-api, with admin consent: "countersign provision apply". A token that is at hand gets new roles when it is renewed, or when this service restarts.',
    };
  }
  if (downstream.status === 429) {
    return {
      cause: 'This application has made more requests than records-api, or the gateway before it, allows it.',
      remedy:
        'It is over when the time of Retry-After has passed. If the requests are meant, raise the rate limit of this route at the gateway.',
    };
  }
  switch (code) {
    case 'downstream_refused':
      return {
        cause: 'records-api does not take the token: it is meant for another API or tenant, or of version 1.',
        remedy:
          'Compare RECORDS_API_SCOPE and AZURE_TENANT_ID here with API_CLIENT_ID and AZURE_TENANT_ID of records-api, and see that its registration has requestedAccessTokenVersion 2. Its log names the check that failed, under the request id below.',
      };
    case 'downstream_unreachable':
      return {
        cause: 'Nothing answers at the address of records-api, or the connection broke.',
        remedy:
          'See whether records-api runs and is ready (/readyz), and check RECORDS_API_URL and the network policy between the two.',
      };
    case 'downstream_timeout':
      return {
        cause: 'records-api took longer than it is waited for.',
        remedy:
          'Look at its load and at that of its database; RECORDS_API_TIMEOUT_MS is how long it is waited for.',
      };
    case 'downstream_unavailable':
      return downstream.status === undefined
        ? {
            cause:
              'records-api was not asked: it has failed so often in a row that it is left alone for some seconds, or too many calls wait for it.',
            remedy:
              'The log of this service has the failures before this one. It is tried again by itself; its /readyz names what it lacks.',
          }
        : {
            cause:
              'records-api takes no requests now: its database or its keys cannot be had, or it is overloaded.',
            remedy: 'Its /readyz names what it lacks. It is tried again by itself.',
          };
    case 'downstream_failed':
      return (downstream.status ?? 500) < 500
        ? undefined
        : {
            cause: 'records-api failed at the request.',
            remedy: 'Its log has the error with its stack, under the request id below.',
          };
    default:
      return code satisfies never;
  }
};
