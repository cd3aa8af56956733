import type { EntraContext } from '../entra-context.ts';
import type { Application, ServicePrincipal, Tenant } from '../directory/entities.ts';
import { tokenVersionOf } from '../directory/token-version.ts';
import { html, type Html } from './html.ts';
import { permissionGraph } from './permission-graph.ts';
import { permissionMap } from './permission-map.ts';

const maxInPicture = 25;
const maxInTable = 100;

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

const credentialsOf = (application: Application | undefined, nowMs: number): Html[] => {
  if (!application) return [html`managed by the platform`];
  const dated = [
    ...application.passwordCredentials.map(({ hint, endMs }) => ({ name: `secret ${hint}…`, endMs })),
    ...application.keyCredentials.map(({ displayName, endMs }) => ({
      name: `certificate ${displayName ?? ''}`,
      endMs,
    })),
  ];
  return [
    ...dated.map(({ name, endMs }) =>
      endMs > nowMs
        ? html`<div>${name} until ${day(endMs)}</div>`
        : html`<div class="bad">${name} expired ${day(endMs)}</div>`,
    ),
    ...application.federatedIdentityCredentials.map(
      ({ issuer, subject }) => html`<div>tokens of <code>${issuer}</code> for <code>${subject}</code></div>`,
    ),
  ];
};

const row = (entra: EntraContext, principal: ServicePrincipal): Html => {
  const application = entra.directory.applicationByAppId(principal.appId);
  const version = application && tokenVersionOf(application) === 2 ? '2.0' : '1.0';
  const isApi = application !== undefined && application.appRoles.length > 0;
  return html`<tr>
    <td>
      ${principal.displayName}
      ${principal.accountEnabled ? '' : html`<span class="bad">switched off</span>`}
    </td>
    <td><code>${principal.appId}</code></td>
    <td>
      ${(application?.identifierUris ?? []).map((uri) => html`<div><code>${uri}</code></div>`)}
      ${(application?.appRoles ?? []).map(({ value }) => html`<div>${value}</div>`)}
      ${isApi ? html`<div class="soft">tokens of version ${version}${principal.appRoleAssignmentRequired ? ', assignment required' : ''}</div>` : ''}
    </td>
    <td>${credentialsOf(application, entra.clock())}</td>
  </tr>`;
};

const leftOut = (count: number): Html =>
  count > 0 ? html`<p class="soft">${count} more are not shown.</p>` : html``;

/** A tenant: its addresses, who may call what, and its applications. */
export const tenantSection = (entra: EntraContext, tenant: Tenant): Html => {
  const { directory } = entra;
  const principals = [...directory.servicePrincipals(tenant.id)].filter(
    ({ appId, servicePrincipalType }) =>
      servicePrincipalType === 'ManagedIdentity' ||
      directory.applicationByAppId(appId)?.tenantId === tenant.id,
  );
  const map = permissionMap(directory, tenant, maxInPicture, entra.clock());
  const discovery = `${entra.origin()}/${tenant.id}/v2.0/.well-known/openid-configuration`;
  return html`<section>
    <h2>${tenant.displayName}</h2>
    <p><code>${tenant.id}</code> ${tenant.domains.map((domain) => html`<code>${domain}</code> `)}</p>
    <p><a href="${discovery}">discovery document</a></p>
    <h3>Who may call what</h3>
    <div class="wide">${permissionGraph(map)}</div>
    <p class="soft">
      A dashed box holds no role: it can get a token for every API here, and the token says nothing that lets it in.
    </p>
    ${leftOut(map.leftOut)}
    <h3>Applications</h3>
    <div class="wide">
      <table>
        <thead><tr><th>Name</th><th>Client id</th><th>Offers</th><th>Credentials</th></tr></thead>
        <tbody>${principals.slice(0, maxInTable).map((principal) => row(entra, principal))}</tbody>
      </table>
    </div>
    ${leftOut(principals.length - maxInTable)}
  </section>`;
};
