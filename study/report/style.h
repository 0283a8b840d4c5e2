// The style sheet of the report: light and dark, narrow and wide, printable; no fonts or pictures from elsewhere.
#pragma once

namespace taut::study {

// Drawings keep the colours of paper in their files; on a dark screen those of the page are exchanged here.
inline constexpr const char kReportStyle[] = R"css(
:root { color-scheme: light dark; --paper: #fff; --ink: #1c1c1c; --soft: #555; --rule: #e6e6e6; --link: #0b5394;
  --good: #00664a; --bad: #a33000; --tag: #7a4f00; --shade: #f5f5f5; --apart: #dcecf8; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1100px; padding: 28px 30px 60px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; }
h1 { font-size: 27px; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 20px; margin: 44px 0 10px; padding-bottom: 4px; border-bottom: 2px solid var(--ink); overflow-wrap: anywhere; }
h3 { font-size: 16px; margin: 26px 0 8px; }
p, li { max-width: 82ch; }
.lead { color: var(--soft); margin: 0 0 18px; }
nav { font-size: 14px; margin: 14px 0; display: flex; flex-wrap: wrap; gap: 4px 14px; }
a { color: var(--link); }
dl.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 3px 16px; margin: 14px 0; }
dl.facts dt { color: var(--soft); }
dl.facts dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
.scroll.tall { max-height: 75vh; overflow-y: auto; border-bottom: 1px solid var(--rule); }
.tall thead th { position: sticky; top: 0; background: var(--paper); }
table { border-collapse: collapse; font-size: 13.5px; margin: 8px 0 4px; font-variant-numeric: tabular-nums; }
thead th { border-bottom: 1.5px solid var(--ink); border-top: 1.5px solid var(--ink); text-align: left;
  padding: 5px 12px 5px 4px; vertical-align: bottom; }
tbody th { font-weight: normal; text-align: left; }
tbody td, tbody th { padding: 4px 12px 4px 4px; border-bottom: 1px solid var(--rule); vertical-align: top; }
tbody tr:last-child > * { border-bottom: 1.5px solid var(--ink); }
table.sortable thead th[tabindex] { cursor: pointer; }
th[aria-sort=ascending]::after { content: " \25B2"; font-size: 0.8em; }
th[aria-sort=descending]::after { content: " \25BC"; font-size: 0.8em; }
.filter { font: inherit; font-size: 13.5px; margin: 6px 0 0; padding: 3px 8px; width: min(26em, 100%); }
table.runs th code, table.runs .muted { white-space: nowrap; }
table.runs .muted { display: block; }
table.cost td:last-child { min-width: 17em; }
table.matrix thead th:first-child { min-width: 9em; }
table.matrix td { text-align: center; min-width: 88px; }
table.matrix td.apart { background: var(--apart); font-weight: bold; }
table.matrix small { display: block; font-weight: normal; color: var(--soft); }
table.samples td, table.samples th { font-size: 12px; text-align: center; padding: 6px; line-height: 1.3; max-width: 118px; }
table.samples img { display: block; margin: 0 auto 3px; width: 96px; height: 96px; image-rendering: pixelated; }
.caption { font-size: 13.5px; margin: 0 0 18px; color: var(--soft); }
figure { margin: 18px 0 26px; break-inside: avoid; }
.canvas { overflow-x: auto; }
.canvas svg { max-width: 100%; height: auto; display: block; }
figcaption { font-size: 13.5px; color: var(--soft); margin-top: 6px; max-width: 110ch; }
.pair { display: flex; flex-wrap: wrap; gap: 10px; align-items: flex-start; }
.pair figure { flex: 56 1 0; min-width: min(380px, 100%); margin: 8px 0; }
.pair figure + figure { flex-grow: 47; margin-top: 44px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(420px, 100%), 1fr)); gap: 18px 26px; }
.grid figure { margin: 0; }
.grid h3 { margin: 0 0 4px; }
details { margin: 4px 0; font-size: 13.5px; }
summary { cursor: pointer; color: var(--link); }
.muted { color: var(--soft); }
.ok { color: var(--good); }
.bad { color: var(--bad); font-weight: bold; }
.tag { font-size: 11px; border: 1px solid var(--tag); color: var(--tag); border-radius: 3px; padding: 0 4px; }
pre { background: var(--shade); padding: 8px 12px; font-size: 13px; overflow-x: auto; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 0.93em; }
@media (max-width: 700px) {
  body { padding: 16px 14px 40px; font-size: 14.5px; }
  h1 { font-size: 22px; }
  dl.facts { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dl.facts dd { margin: 0 0 6px; }
  .pair figure + figure { margin-top: 8px; }
  .canvas.wide svg { max-width: none; width: 760px; }
}
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #15181c; --ink: #e4e4e1; --soft: #a6a9ad; --rule: #31363c; --link: #7fb8ec; --good: #5fc8a0;
    --bad: #f08a5d; --tag: #d9a441; --shade: #20242a; --apart: #1d3a52; }
  .canvas [fill="#fff"] { fill: #15181c; }
  .canvas [fill="#333"], .canvas [fill="#666"] { fill: #c9cbcd; }
  .canvas [stroke="#e3e3e3"] { stroke: #2b3036; }
  .canvas [stroke="#bbb"] { stroke: #4d535a; }
  .canvas [stroke="#000000"] { stroke: #f2f2f2; }
  .canvas [fill="#000000"] { fill: #f2f2f2; }
  .canvas [stroke="#0072B2"] { stroke: #2f8fd6; }
  .canvas [fill="#0072B2"] { fill: #2f8fd6; }
  .canvas [stroke="#882255"] { stroke: #c4578c; }
  .canvas [fill="#882255"] { fill: #c4578c; }
}
@media print {
  :root { color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav, summary, .files, .filter { display: none; }
  .canvas, .scroll, .scroll.tall { overflow: visible; max-height: none; }
  .tall thead th { position: static; }
  table { font-size: 8.5pt; }
  thead { display: table-header-group; }
  h2, h3 { break-after: avoid; }
  tr, .pair, .grid figure { break-inside: avoid; }
}
)css";

}  // namespace taut::study
