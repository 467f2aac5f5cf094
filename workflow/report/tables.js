"use strict";
// Sorting and searching of tables, copying of texts, links into what is folded. Without script all
// of it stays readable: tables are plain, CSV links work, folds open by hand.
(() => {
  const collator = new Intl.Collator("en", { numeric: true });

  const keyOf = (row, column) => {
    const cell = row.cells[column];
    if (cell === undefined) return null;
    if (cell.dataset.sort) return Number(cell.dataset.sort);
    const text = cell.textContent.trim();
    return text === "–" || text === "" ? null : text;
  };

  // Missing values come last, whichever way the column is sorted.
  const compare = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));
  };

  const isGroup = (row) => row.classList.contains("group");

  // Rows are sorted inside their group; the line that names a group stays at its head.
  const sortBy = (table, header, live) => {
    const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    for (const body of table.tBodies) {
      const rows = Array.from(body.rows).filter((row) => !isGroup(row));
      const keyed = rows.map((row) => [keyOf(row, header.cellIndex), row]);
      keyed.sort((a, b) => compare(a[0], b[0], sign));
      body.append(...keyed.map((pair) => pair[1]));
    }
    const name = header.querySelector("button").textContent.trim();
    live.textContent = `Sorted by ${name}, ${sign > 0 ? "ascending" : "descending"}`;
  };

  const addSorting = (table, live) => {
    for (const header of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      button.addEventListener("click", () => sortBy(table, header, live));
      header.replaceChildren(button);
    }
  };

  const addSearch = (table, tools, live) => {
    const bodies = Array.from(table.tBodies, (body) => Array.from(body.rows));
    const rows = bodies.flat().filter((row) => !isGroup(row));
    const texts = new Map(rows.map((row) => [row,
      Array.from(row.cells, (cell) => cell.textContent).join(" ").toLowerCase()]));
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "search";
    label.append("Search ", input);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let left = 0;
      for (const body of bodies) {
        let here = 0;
        for (const row of body.filter((one) => !isGroup(one))) {
          row.hidden = !words.every((word) => texts.get(row).includes(word));
          here += row.hidden ? 0 : 1;
        }
        for (const row of body.filter(isGroup)) row.hidden = here === 0;
        left += here;
      }
      live.textContent = words.length ? `${left} of ${rows.length} rows` : "";
    });
    tools.prepend(label);
  };

  const FEWEST_ROWS_TO_SEARCH = 8;
  for (const tools of document.querySelectorAll(".table-tools[data-for]")) {
    const table = document.getElementById(tools.dataset.for);
    const live = document.createElement("output");
    addSorting(table, live);
    const rows = Array.from(table.rows).filter((row) => !isGroup(row)).length - 1;
    if (rows >= FEWEST_ROWS_TO_SEARCH) addSearch(table, tools, live);
    tools.append(live);
  }

  // Where the clipboard is out of reach the text is selected, ready to be copied by hand.
  const copy = async (source, live) => {
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    try {
      await navigator.clipboard.writeText(source.textContent);
      live.textContent = "Copied";
    } catch {
      live.textContent = document.execCommand("copy") ? "Copied" : "Selected: copy it by hand";
    }
  };

  for (const tools of document.querySelectorAll(".table-tools[data-copy]")) {
    const source = document.getElementById(tools.dataset.copy);
    const button = document.createElement("button");
    const live = document.createElement("output");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", () => copy(source, live));
    tools.prepend(button);
    tools.append(live);
  }

  // A link into what is folded opens every fold around its target, and goes there.
  const openTarget = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    let folded = false;
    for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) {
      folded ||= !fold.open;
      fold.open = true;
    }
    if (folded) target.scrollIntoView();
  };
  addEventListener("hashchange", openTarget);
  addEventListener("click", (event) => {
    // A second click on the link of the page's own hash changes no hash.
    const link = event.target.closest?.('a[href^="#"]');
    if (link && link.hash === location.hash) openTarget();
  });
  openTarget();
})();
