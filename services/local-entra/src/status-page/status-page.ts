import { createHash } from 'node:crypto';
import type { Middleware } from 'koa';
import type { ServiceState } from '@countersign/service-kit';
import type { EntraContext } from '../entra-context.ts';
import type { Controls } from '../weather/controls.ts';
import type { LoggedRequest } from '../weather/request-log.ts';
import { Html, html } from './html.ts';
import { style } from './style.ts';
import { tenantSection } from './tenant-section.ts';

const maxRefusals = 20;
const maxTenants = 10;

const styleHash = createHash('sha256').update(style).digest('base64');

const keysSection = ({ signingKeys }: EntraContext): Html => {
  const signs = signingKeys.current().kid;
  return html`<section>
    <h2>Signing keys</h2>
    <table>
      <thead><tr><th>Key id</th><th></th></tr></thead>
      <tbody>
        ${signingKeys
          .published()
          .map(
            ({ kid }) =>
              html`<tr><td><code>${kid}</code></td><td>${kid === signs ? 'signs' : 'published'}</td></tr>`,
          )}
      </tbody>
    </table>
  </section>`;
};

const weatherSection = (controls: Controls): Html => {
  const shift = controls.clockShiftSeconds();
  const delays = Object.entries(controls.propagationSeconds()).filter(([, seconds]) => seconds > 0);
  const lines = [
    ...controls.faults.list().map((fault) => `fault at ${fault.endpoint}: ${describeFault(fault)}`),
    ...(shift === 0 ? [] : [`the clock is ${Math.abs(shift)} s ${shift > 0 ? 'ahead' : 'behind'}`]),
    ...delays.map(([kind, seconds]) => `new ${kind} take ${seconds} s to be known`),
  ];
  if (lines.length === 0) return html``;
  return html`<section>
    <h2>Weather</h2>
    <ul>${lines.map((line) => html`<li>${line}</li>`)}</ul>
  </section>`;
};

const describeFault = ({
  status,
  latencyMs,
  disconnect,
  count,
}: ReturnType<Controls['faults']['list']>[number]): string =>
  [
    ...(latencyMs > 0 ? [`${latencyMs} ms late`] : []),
    ...(disconnect ? ['connection cut'] : []),
    ...(status === undefined ? [] : [`status ${status}`]),
    ...(count === undefined ? [] : [`${count} more times`]),
  ].join(', ');

const refusalRow = ({ time, path, status, error, explanation }: LoggedRequest): Html => html`<tr>
  <td><time datetime="${time}">${time.slice(11, 19)}</time></td>
  <td>${status}</td>
  <td>${error ?? ''}</td>
  <td>${explanation ?? html`<code>${path}</code>`}</td>
</tr>`;

const refusalsSection = (controls: Controls): Html => {
  const refusals = controls.requests.refusals().slice(0, maxRefusals);
  return html`<section>
    <h2>Last refusals</h2>
    ${
      refusals.length === 0
        ? html`<p>None so far.</p>`
        : html`<div class="wide"><table>
          <thead><tr><th>Time</th><th>Status</th><th>Error</th><th>Why</th></tr></thead>
          <tbody>${refusals.map(refusalRow)}</tbody>
        </table></div>`
    }
  </section>`;
};

const page = (entra: EntraContext, controls: Controls): Html => html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>local-entra</title>
    <style>${new Html(style)}</style>
  </head>
  <body>
    <p class="banner" role="note">
      This is local-entra, an emulator for development and tests. It is not Microsoft Entra ID.
    </p>
    <main>
      <h1>local-entra</h1>
      <p>Authority <code>${entra.origin()}/{tenant}</code>, Microsoft Graph <code>${entra.origin()}/v1.0</code></p>
      ${[...entra.directory.tenants()].slice(0, maxTenants).map((tenant) => tenantSection(entra, tenant))}
      ${refusalsSection(controls)}
      ${weatherSection(controls)}
      ${keysSection(entra)}
    </main>
  </body>
</html>`;

/** `/`: what this Entra holds and whom it refused last, for a person. Changes nothing and shows no secret. */
export const statusPage = (entra: EntraContext, controls: Controls): Middleware<ServiceState> =>
  function statusPage(ctx) {
    ctx.set('Cache-Control', 'no-store');
    ctx.set(
      'Content-Security-Policy',
      `default-src 'none'; style-src 'sha256-${styleHash}'; frame-ancestors 'none'`,
    );
    ctx.set('X-Content-Type-Options', 'nosniff');
    ctx.set('Referrer-Policy', 'no-referrer');
    ctx.type = 'html';
    ctx.body = page(entra, controls).text;
  };
