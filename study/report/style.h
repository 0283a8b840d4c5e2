// The style sheet of the report: light, printable, no fonts or pictures from elsewhere.
#pragma once

namespace taut::study {

inline constexpr const char kReportStyle[] = R"css(
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1100px; padding: 28px 30px 60px; background: #fff; color: #1c1c1c;
  font: 15px/1.5 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; }
h1 { font-size: 27px; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 20px; margin: 44px 0 10px; padding-bottom: 4px; border-bottom: 2px solid #1c1c1c; }
h3 { font-size: 16px; margin: 26px 0 8px; }
p, li { max-width: 82ch; }
.lead { color: #444; margin: 0 0 18px; }
nav { font-size: 14px; margin: 14px 0 0; }
nav a { margin-right: 14px; }
a { color: #0b5394; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 3px 16px; margin: 14px 0; }
dl.facts dt { color: #555; }
dl.facts dd { margin: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13.5px; margin: 8px 0 4px; font-variant-numeric: tabular-nums; }
thead th { border-bottom: 1.5px solid #1c1c1c; border-top: 1.5px solid #1c1c1c; text-align: left; padding: 5px 12px 5px 4px;
  vertical-align: bottom; }
tbody th { font-weight: normal; text-align: left; }
tbody td, tbody th { padding: 4px 12px 4px 4px; border-bottom: 1px solid #e6e6e6; vertical-align: top; }
tbody tr:last-child > * { border-bottom: 1.5px solid #1c1c1c; }
table.matrix td { text-align: center; min-width: 88px; }
table.matrix td.apart { background: #dcecf8; font-weight: bold; }
table.matrix small { display: block; font-weight: normal; color: #555; }
table.samples td, table.samples th { font-size: 12px; text-align: center; padding: 6px; line-height: 1.3; max-width: 118px; }
table.samples img { display: block; margin: 0 auto 3px; width: 96px; height: 96px; image-rendering: pixelated; }
.caption { font-size: 13.5px; margin: 0 0 18px; color: #333; }
figure { margin: 18px 0 26px; break-inside: avoid; }
figure svg { max-width: 100%; height: auto; display: block; }
figcaption { font-size: 13.5px; color: #333; margin-top: 6px; max-width: 110ch; }
.pair { display: flex; flex-wrap: wrap; gap: 10px; align-items: flex-start; }
.pair figure { flex: 56 1 0; min-width: 380px; margin: 8px 0; }
.pair figure + figure { flex-grow: 47; }
.files { white-space: nowrap; }
details { margin: 4px 0; font-size: 13.5px; }
summary { cursor: pointer; color: #0b5394; }
.muted { color: #666; }
.ok { color: #00664a; }
.bad { color: #a33000; font-weight: bold; }
.tag { font-size: 11px; border: 1px solid #a36a00; color: #7a4f00; border-radius: 3px; padding: 0 4px; }
pre { background: #f5f5f5; padding: 8px 12px; font-size: 13px; overflow-x: auto; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 0.93em; }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav, summary, .files { display: none; }
  h2, h3 { break-after: avoid; }
  tr, .pair { break-inside: avoid; }
}
)css";

}  // namespace taut::study
