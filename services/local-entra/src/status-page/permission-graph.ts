import type { ServicePrincipal } from '../directory/entities.ts';
import { html, type Html } from './html.ts';
import type { Permission, PermissionMap } from './permission-map.ts';

const box = { width: 190, height: 40, gap: 24 } as const;
const margin = 10;
const width = 900;
const lineHeight = 16;

interface Point {
  x: number;
  y: number;
}

const columnHeight = (count: number): number => Math.max(0, count * (box.height + box.gap) - box.gap);

/** The places of a column's boxes, centred in the height of the taller column. */
const places = (principals: readonly ServicePrincipal[], x: number, height: number): Map<string, Point> => {
  const top = margin + (height - columnHeight(principals.length)) / 2;
  return new Map(principals.map(({ id }, index) => [id, { x, y: top + index * (box.height + box.gap) }]));
};

const shorten = (name: string): string => (name.length > 24 ? `${name.slice(0, 23)}…` : name);

const drawBox = ({ displayName, appId }: ServicePrincipal, { x, y }: Point, kind: string): Html => html`
  <g class="${kind}">
    <title>${displayName} ${appId}</title>
    <rect x="${x}" y="${y}" width="${box.width}" height="${box.height}" rx="8" />
    <text x="${x + box.width / 2}" y="${y + box.height / 2 + 5}" text-anchor="middle">${shorten(displayName)}</text>
  </g>`;

const drawEdge = (permission: Permission, from: Point, to: Point, share: number): Html => {
  const [x1, y1, x2, y2] = [from.x + box.width, from.y + box.height / 2, to.x - 6, to.y + box.height / 2];
  const middle = (x1 + x2) / 2;
  // Labels sit at different heights of the curve, so that those of one API do not cover each other.
  const t = 0.3 + 0.4 * share;
  const ease = t * t * (3 - 2 * t);
  const [labelX, labelY] = [x1 + (x2 - x1) * t, y1 + (y2 - y1) * ease];
  const first = labelY - ((permission.roles.length - 1) * lineHeight) / 2 - 6;
  return html`
  <g class="edge">
    <path d="M ${x1} ${y1} C ${middle} ${y1}, ${middle} ${y2}, ${x2} ${y2}" marker-end="url(#arrow)" />
    ${permission.roles.map(
      (role, index) =>
        html`<text x="${labelX}" y="${first + index * lineHeight}" text-anchor="middle">${role}</text>`,
    )}
  </g>`;
};

/** Draws callers on the left, APIs on the right, and an arrow with the granted roles from one to the other. */
export const permissionGraph = ({ callers, apis, permissions }: PermissionMap): Html => {
  const height = Math.max(columnHeight(callers.length), columnHeight(apis.length), box.height);
  const left = places(callers, margin, height);
  const right = places(apis, width - margin - box.width, height);
  const granted = new Set(permissions.map(({ caller }) => caller.id));
  const total = height + 2 * margin;
  const sentences = permissions.map(
    ({ caller, api, roles }) => `${caller.displayName} may call ${api.displayName} as ${roles.join(', ')}.`,
  );
  return html`<svg viewBox="0 0 ${width} ${total}" role="img" aria-label="Who may call what">
  <desc>${sentences.join(' ')}</desc>
  <defs>
    <marker id="arrow" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="8" markerHeight="8" orient="auto">
      <path d="M 0 0 L 8 4 L 0 8 z" />
    </marker>
  </defs>
  ${permissions.map((permission, index) =>
    drawEdge(
      permission,
      left.get(permission.caller.id) ?? { x: 0, y: 0 },
      right.get(permission.api.id) ?? { x: 0, y: 0 },
      permissions.length === 1 ? 0.5 : (index % 3) / 2,
    ),
  )}
  ${callers.map((caller) =>
    drawBox(caller, left.get(caller.id) ?? { x: 0, y: 0 }, granted.has(caller.id) ? 'caller' : 'caller none'),
  )}
  ${apis.map((api) => drawBox(api, right.get(api.id) ?? { x: 0, y: 0 }, 'api'))}
</svg>`;
};
