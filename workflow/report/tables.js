"use strict";
// Sorting and filtering for tables marked data-sortable; without script they stay plain tables.
(() => {
  const collator = new Intl.Collator("en", { numeric: true });

  const keyOf = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
    return cell.textContent === "–" ? null : cell.textContent;
  };

  // Missing values come last, whichever way the column is sorted.
  const compare = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));
  };

  const sortBy = (table, header) => {
    const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const body = table.tBodies[0];
    const keyed = Array.from(body.rows, (row) => [keyOf(row, header.cellIndex), row]);
    keyed.sort((a, b) => compare(a[0], b[0], sign));
    body.append(...keyed.map((pair) => pair[1]));
  };

  const addSorting = (table) => {
    for (const header of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = header.textContent;
      button.addEventListener("click", () => sortBy(table, header));
      header.replaceChildren(button);
    }
  };

  const addFilter = (table, tools) => {
    const rows = Array.from(table.tBodies[0].rows);
    const texts = rows.map((row) =>
      Array.from(row.cells, (cell) => cell.textContent).join(" ").toLowerCase());
    const label = document.createElement("label");
    const input = document.createElement("input");
    const shown = document.createElement("output");
    input.type = "search";
    label.append("Filter ", input);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let left = 0;
      rows.forEach((row, i) => {
        row.hidden = !words.every((word) => texts[i].includes(word));
        left += row.hidden ? 0 : 1;
      });
      shown.textContent = words.length ? `${left} of ${rows.length} rows` : "";
    });
    tools.append(label, shown);
    tools.hidden = false;
  };

  const FEWEST_ROWS_TO_FILTER = 8;
  for (const tools of document.querySelectorAll(".table-tools")) {
    const table = document.getElementById(tools.dataset.for);
    addSorting(table);
    if (table.tBodies[0].rows.length >= FEWEST_ROWS_TO_FILTER) addFilter(table, tools);
  }

  // A link into a closed <details> opens it.
  const openTarget = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    target?.closest("details")?.setAttribute("open", "");
  };
  addEventListener("hashchange", openTarget);
  openTarget();
})();
