import { createHash } from 'node:crypto';

/** The style sheet of every page, in the page itself. */
export const style = `
:root {
  color-scheme: light dark;
  font: 16px/1.5 system-ui, sans-serif;
  --ground: #f6f7f9; --card: #fff; --text: #1b2430; --soft: #526070; --line: #dfe4ea;
  --accent: #0b5cad; --on-accent: #fff; --good: #116b3c; --good-ground: #e3f5ea; --bad: #a3211b; --bad-ground: #fdebea;
  --bar-token: #7a5bc7; --bar-entra: #b65c06; --bar-call: #0b5cad; --bar-total: #718093;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #11161d; --card: #1a212b; --text: #e7ecf2; --soft: #a5b1bf; --line: #303a47;
    --accent: #7db8f5; --on-accent: #0c1824; --good: #7fdaa5; --good-ground: #143122; --bad: #ff9d96; --bad-ground: #3b1a1a;
    --bar-token: #b39df0; --bar-entra: #f0a557; --bar-call: #7db8f5; --bar-total: #8494a6;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); }
body > header { background: var(--card); border-bottom: 1px solid var(--line); }
body > header p, main { max-width: 60rem; margin: 0 auto; padding: 0 1rem; }
body > header p { padding-block: 0.75rem; color: var(--soft); }
body > header a { font-weight: 700; margin-inline-end: 0.75rem; text-decoration: none; }
main { padding-block: 1.5rem 3rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.125rem; margin: 0 0 0.75rem; }
a { color: var(--accent); text-underline-offset: 0.2em; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 0.25rem; }
.head { display: flex; flex-wrap: wrap; gap: 0.75rem; justify-content: space-between; align-items: center; margin-bottom: 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 0.75rem; padding: 1.25rem; margin-bottom: 1.5rem; }
.card > p { margin: 0 0 1rem; }
.wide { padding: 0; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: start; color: var(--soft); font-size: 0.875rem; padding: 0.75rem 1rem; }
.card:not(.wide) caption { padding: 0 0 0.5rem; }
th, td { text-align: start; padding: 0.6rem 1rem; border-top: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--soft); font-size: 0.8125rem; font-weight: 600; }
.wide tbody tr:hover { background: color-mix(in srgb, var(--accent) 7%, transparent); }
.short { font-variant-numeric: tabular-nums; white-space: nowrap; }
.preserved { white-space: pre-line; overflow-wrap: anywhere; }
.pages { display: flex; gap: 1rem; margin-bottom: 1.5rem; }
.button, button { display: inline-block; font: inherit; font-weight: 600; color: var(--on-accent); background: var(--accent); border: 0; border-radius: 0.5rem; padding: 0.5rem 1rem; text-decoration: none; cursor: pointer; }
.plain { background: none; color: var(--accent); border: 1px solid var(--line); }
.actions { display: flex; flex-wrap: wrap; gap: 0.75rem; align-items: center; }
label { display: block; font-weight: 600; margin-bottom: 0.25rem; }
.field { margin-bottom: 1rem; }
input, textarea { width: 100%; font: inherit; color: inherit; background: var(--ground); border: 1px solid var(--soft); border-radius: 0.5rem; padding: 0.5rem 0.75rem; }
input[type='datetime-local'] { max-width: 18rem; }
.hint { color: var(--soft); font-size: 0.875rem; margin: 0.25rem 0 0; }
.wrong { color: var(--bad); font-weight: 600; margin: 0.25rem 0 0; }
.good, .bad { border-radius: 0.5rem; padding: 0.75rem 1rem; margin: 0 0 1rem; }
.good { color: var(--good); background: var(--good-ground); }
.bad { color: var(--bad); background: var(--bad-ground); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1rem; margin: 0 0 1rem; }
dl:last-child { margin-bottom: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
code { font-size: 0.9em; background: color-mix(in srgb, var(--soft) 15%, transparent); border-radius: 0.25rem; padding: 0.1em 0.35em; }
.steps th, .steps td { padding: 0.35rem 0.5rem; font-size: 0.875rem; vertical-align: middle; }
.step { font-weight: 400; }
.steps td:nth-child(3) { width: 45%; }
.steps svg { display: block; width: 100%; height: 0.75rem; }
.track { fill: color-mix(in srgb, var(--soft) 15%, transparent); }
.token { fill: var(--bar-token); } .entra { fill: var(--bar-entra); } .call { fill: var(--bar-call); } .total { fill: var(--bar-total); }
.aside { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: 0.5rem; } th, td { padding: 0.5rem; } }
`;

/** No script, nothing from elsewhere, and forms that lead here alone. */
export const contentSecurityPolicy = `default-src 'none'; style-src 'sha256-${createHash('sha256')
  .update(style)
  .digest('base64')}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`;
