/**
 * The style sheet of all pages. Text has a contrast of at least 4.5 on its ground, in both colour
 * schemes. Paper gets the light scheme, and all that a reader could open is open.
 */
import type { Outcome } from '../words.ts';

/** Colours of parts of a bar or a map, by class. Legends name each of them. */
const COLOURS_LIGHT = `
--ground:#f5f6f8;--card:#fff;--ink:#18202b;--soft:#556070;--line:#dfe3e9;--track:#e9ecf1;
--good:#14683c;--good-ground:#dff3e6;--warn:#7a4b00;--warn-ground:#fdf0d3;
--bad:#a11d1d;--bad-ground:#fde4e2;
--changed:#2563c9;--zero:#7d8a9b;--rest:#e3e7ed;
--extents:#7a5bb5;--read:#2563c9;--hash:#13868f;--compress:#c2701a;--write:#3b8447;--wait:#c3cad4;--limit:#b0418a;
--engine:#7a5bb5;--commit:#c2701a;--full:#17407f;--increment:#5b8fe0;--earlier:#d9dfe8;--now:#0b7a75;
`;
const COLOURS_DARK = `
--ground:#0f1318;--card:#171c23;--ink:#e4e9f0;--soft:#9dabbc;--line:#2b333e;--track:#232a34;
--good:#6fd39b;--good-ground:#12301f;--warn:#efc069;--warn-ground:#35280c;
--bad:#ff9c93;--bad-ground:#3d1715;
--changed:#6ba3f7;--zero:#8794a6;--rest:#2b333e;
--extents:#ab90e2;--read:#6ba3f7;--hash:#4cbac3;--compress:#e59a4d;--write:#6fb97c;--wait:#4a5564;--limit:#e287c4;
--engine:#ab90e2;--commit:#e59a4d;--full:#8db8f8;--increment:#4a7ecb;--earlier:#2d3641;--now:#4cc4bb;
`;

const BASE = `
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--ink);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",Arial,sans-serif;
overflow-wrap:anywhere}
main{max-width:76rem;margin:0 auto;padding:1.5rem 1rem 0}
footer{max-width:76rem;margin:0 auto;padding:1.5rem 1rem 2rem;color:var(--soft);font-size:.8125rem}
h1,h2,p,dl,dd,ul,figure{margin:0}
h1{font-size:1.75rem;line-height:1.2;font-weight:650;letter-spacing:-.01em}
h2{font-size:1.0625rem;font-weight:650;margin-bottom:.75rem}
.kicker{color:var(--soft);font-size:.8125rem;margin-bottom:.25rem}
.soft{color:var(--soft)}
.small{font-size:.875rem}
.num,time{font-variant-numeric:tabular-nums}
code{font:.8125rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
header{margin-bottom:1.25rem}
.name{display:flex;flex-wrap:wrap;gap:.5rem .75rem;align-items:center}
header .lead{margin-top:.5rem;font-size:1.0625rem}
section{background:var(--card);border:1px solid var(--line);border-radius:.75rem;
padding:1.125rem 1.25rem 1.25rem;margin-bottom:1rem}
section>p.intro{color:var(--soft);font-size:.875rem;margin:-.5rem 0 .875rem}
`;

const BADGES = `
.badge{display:inline-flex;align-items:center;gap:.375rem;white-space:nowrap;border-radius:1rem;
padding:.125rem .625rem;font-size:.8125rem;font-weight:600}
.badge svg{width:.75rem;height:.75rem;flex:none}
.success{color:var(--good);background:var(--good-ground)}
.warning{color:var(--warn);background:var(--warn-ground)}
.failure,.notStarted{color:var(--bad);background:var(--bad-ground)}
.info{color:var(--soft);background:var(--track)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:1px;
background:var(--line);border:1px solid var(--line);border-radius:.75rem;overflow:hidden;
margin-bottom:1rem}
.tile{background:var(--card);padding:.75rem 1.25rem}
.tile dt{color:var(--soft);font-size:.8125rem}
.tile dd{font-size:1.25rem;font-weight:600;line-height:1.3}
.tile dd small{display:block;color:var(--soft);font-size:.8125rem;font-weight:400}
.notes{display:grid;gap:.75rem;padding:0;list-style:none}
.note{border-left:.25rem solid var(--line);padding:.125rem 0 .125rem .875rem}
.note .item+.item{margin-top:.625rem}
.note.is-warning{border-color:var(--warn)}
.note.is-failure{border-color:var(--bad)}
.note p{margin-top:.25rem}
.note .head{display:flex;flex-wrap:wrap;gap:.25rem .625rem;align-items:center;margin:0}
`;

const TABLES = `
table{border-collapse:collapse;width:100%;font-size:.875rem}
th,td{text-align:left;vertical-align:top;padding:.5rem .75rem .5rem 0;border-top:1px solid var(--line)}
th:last-child,td:last-child{padding-right:0}
thead th{color:var(--soft);font-weight:500;border-top:0;white-space:nowrap}
tbody th{font-weight:600;min-width:8.5rem}
td.num,th.num{text-align:right;white-space:nowrap}
tfoot td,tfoot th{font-weight:600}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
td .why{color:var(--soft);min-width:10rem;display:block;text-wrap:pretty}
td .badge+small{display:block;color:var(--soft);margin-top:.125rem}
dl.facts{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:.375rem 1.25rem;
font-size:.875rem}
dl.facts dt{color:var(--soft)}
details{margin-top:.875rem}
summary{cursor:pointer;font-size:.875rem;color:var(--soft);border-radius:.25rem}
summary:focus-visible{outline:2px solid var(--changed);outline-offset:2px}
details.vm{border-top:1px solid var(--line);margin:0;padding:.625rem 0}
details.vm>summary{color:var(--ink)}
details.vm>summary .soft{margin-left:.5rem}
details.vm .body{padding:.75rem 0 .5rem}
.body>*+*{margin-top:1.25rem}
`;

const CHARTS = `
figure+figure{margin-top:1.25rem}
figcaption{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 1rem;
font-size:.875rem;margin-bottom:.375rem}
svg.map,svg.bar,svg.growth{display:block;width:100%;border-radius:.25rem;background:var(--track)}
svg.map{height:2.25rem}
svg.bar{height:1.125rem}
.growth-box{min-width:12rem}
svg.growth{height:9rem;background:none;border-bottom:1px solid var(--line);border-radius:0}
.axis{display:flex;justify-content:space-between;color:var(--soft);font-size:.75rem;margin-top:.25rem;
font-variant-numeric:tabular-nums}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1.125rem;padding:0;list-style:none;font-size:.8125rem;
color:var(--soft);margin-top:.625rem}
.legend li{display:flex;align-items:center;gap:.375rem}
.legend b{color:var(--ink);font-weight:600;font-variant-numeric:tabular-nums}
.legend svg{width:.875rem;height:.875rem;border-radius:.1875rem;flex:none;background:var(--track)}
`;

/** Names of colours that a part of a chart may have. */
export const FILLS = [
  'changed',
  'zero',
  'rest',
  'extents',
  'read',
  'hash',
  'compress',
  'write',
  'wait',
  'limit',
  'engine',
  'commit',
  'full',
  'increment',
  'earlier',
  'now',
] as const;
export type Fill = (typeof FILLS)[number];

const FILL_RULES = FILLS.map((name) => `.f-${name}{fill:var(--${name})}`).join('');

const NARROW = `
@media screen and (max-width:44rem){
main{padding-top:1rem}
h1{font-size:1.375rem}
section{padding:1rem}
.tile{padding:.625rem 1rem}
.tiles{grid-template-columns:1fr 1fr}
.tile:last-child:nth-child(odd){grid-column:1/-1}
dl.facts{grid-template-columns:1fr;gap:0}
dl.facts dd{margin-bottom:.5rem}
table,tbody,tfoot{display:block}
thead{display:none}
tr{display:grid;grid-template-columns:repeat(3,1fr);gap:.375rem .75rem;border-top:1px solid var(--line);
padding:.75rem 0}
tbody:first-of-type tr:first-child{border-top:0;padding-top:0}
th,td,td.num,th.num{border:0;padding:0;text-align:left;white-space:normal}
tbody th,tfoot th,td.wide{grid-column:1/-1}
tbody th:has(+td.mark){grid-column:1/3}
td.mark{text-align:right}
td.mark::before{display:none!important}
td[data-label]::before{content:attr(data-label);display:block;color:var(--soft);font-size:.75rem}
td.none{display:none}
details.vm>summary .soft{display:block;margin-left:1rem}
}
`;

const PRINT = `
@media print{
@page{margin:14mm 12mm}
html{font-size:11.5px}
body{background:#fff}
main,footer{max-width:none;padding-left:0;padding-right:0}
section,.tiles{break-inside:avoid;border-color:#bbb}
section.long{break-inside:auto}
tr,figure,.note{break-inside:avoid}
h2{break-after:avoid}
thead{display:table-header-group}
details::details-content{content-visibility:visible;block-size:auto;height:auto}
details>summary{list-style:none}
svg,.badge,.note{-webkit-print-color-adjust:exact;print-color-adjust:exact}
}
`;

const lines = (text: string): string => text.replaceAll('\n', '');

export const STYLE: string = lines(
  `:root{color-scheme:light dark;${COLOURS_LIGHT}}@media screen and (prefers-color-scheme:dark){:root{${COLOURS_DARK}}}${BASE}${BADGES}${TABLES}${CHARTS}${FILL_RULES}${NARROW}${PRINT}`,
);

/** Signs of the results, so that colour is not needed to tell them. Paths in 12 by 12. */
export const SIGNS: Readonly<Record<Outcome | 'info', string>> = {
  success: 'M2 6.5 4.8 9.3 10 3',
  warning: 'M6 2v5M6 9.2v.8',
  failure: 'M3 3l6 6M9 3 3 9',
  notStarted: 'M2.5 6h7',
  info: 'M6 5.5V10M6 2.2v.8',
};
