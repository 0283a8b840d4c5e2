// The script of the report's pages: a table of class `sortable` is sorted by a click or Enter on a heading, and one
// with many rows gets a field that filters it. Without JavaScript the tables are simply there.
#pragma once

namespace taut::study {

inline constexpr const char kReportScript[] = R"js(
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const key = (row, i) => {
    const text = row.cells[i].textContent.trim(), n = parseFloat(text);
    return text === "" ? [2, 0] : Number.isNaN(n) ? [1, text.toLowerCase()] : [0, n];
  };
  const sort = (i) => {
    const up = heads[i].ariaSort !== "ascending";
    heads.forEach((h) => h.removeAttribute("aria-sort"));
    heads[i].ariaSort = up ? "ascending" : "descending";
    const rows = [...body.rows].map((row) => [key(row, i), row]);
    rows.sort(([a], [b]) => a[0] === 2 || b[0] === 2 ? a[0] - b[0]
      : (up ? 1 : -1) * (a[0] - b[0] || (a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0)));
    body.append(...rows.map(([, row]) => row));
  };
  heads.forEach((head, i) => {
    head.tabIndex = 0;
    head.title = "sort by this column";
    head.addEventListener("click", () => sort(i));
    head.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); sort(i); } });
  });
  if (body.rows.length < 15) continue;
  const field = document.createElement("input");
  field.type = "search";
  field.className = "filter";
  field.placeholder = "show rows with ...";
  field.setAttribute("aria-label", "show rows with this text");
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase();
    for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
  table.parentNode.before(field);
}
)js";

}  // namespace taut::study
