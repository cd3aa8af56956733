/** The page's style. Follows the reader's choice of light or dark. */
export const style = `
:root { color-scheme: light dark; --ink: #1d2433; --soft: #5a6478; --line: #c9d0dc; --paper: #fff; --panel: #f4f6fa;
  --caller: #e3edff; --api: #e2f5e9; --warn: #fff3d6; --bad: #a4262c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf2; --soft: #a3acbd; --line: #3c4658; --paper: #141821;
  --panel: #1d2330; --caller: #22375c; --api: #1f4430; --warn: #4a3b12; --bad: #ff9a9f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
.banner { background: var(--warn); border-radius: .5rem; padding: .75rem 1rem; font-weight: 600; }
h1 { margin: 1.5rem 0 .25rem; } h2 { margin: 2rem 0 .5rem; } h3 { margin: 1.5rem 0 .5rem; }
p { margin: .25rem 0; } .soft { color: var(--soft); } .bad { color: var(--bad); }
code { font: .875rem ui-monospace, monospace; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { border-bottom: 1px solid var(--line); padding: .4rem .6rem; text-align: left; vertical-align: top; }
th { background: var(--panel); }
svg { width: 100%; min-width: 40rem; height: auto; background: var(--panel); border-radius: .5rem; }
svg text { fill: var(--ink); font: 14px system-ui, sans-serif; }
svg rect { stroke: var(--soft); } svg .caller rect { fill: var(--caller); } svg .api rect { fill: var(--api); }
svg .none rect { stroke-dasharray: 5 4; fill: none; }
svg .edge path { fill: none; stroke: var(--soft); stroke-width: 1.5; }
svg .edge text { font-size: 12px; paint-order: stroke; stroke: var(--panel); stroke-width: 5px; }
svg marker path { fill: var(--soft); }
`;
