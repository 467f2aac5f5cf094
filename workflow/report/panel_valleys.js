"use strict";
// The isoFLOP panel: a valley per budget, budgets that come and go, runs by name.
const Valleys = (() => {
  const TOP_FENCE = 3; // quartile distances above which a run is off the first view (Tukey)
  const PAST = 0.06;
  const CONFIG = Panels.config([["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]]);
  const coarse = matchMedia("(pointer: coarse)"); // where a swipe shall scroll the page

  const make = (data) => {
    const panel = document.getElementById("valleys");
    const plot = document.getElementById("valley-plot");
    if (!panel) return;
    panel.hidden = false;
    const hidden = new Set(["aside"]);
    let drawn = null;
    let spot = -1;
    const said = document.getElementById("valley-said");

    const colorOf = (budget, t) => (budget.used ? (t.dark ? budget.dark : budget.light) : t.grey);
    const stateOf = (budget) => {
      if (!budget.used) return `not used: ${budget.reason}`;
      return budget.flags ? `used, but its budget is flagged: ${budget.flags}` : "used";
    };
    const runText = (runs, i, fate) => [
      `<b>${Panels.safe(runs.run[i])}</b>`,
      `N ${Panels.humanise(runs.params[i])}, D ${Panels.humanise(runs.tokens[i])}`,
      `C ${Panels.flopsLabel(runs.flops[i])} FLOPs`,
      `loss ${Panels.significant(runs.loss[i], 5)}`,
      wrapped(fate),
    ].join("<br>");
    const wrapped = (text) =>
      Panels.safe(text).replace(/(.{30,60}?) /g, "$1<br>");
    const interval = (q, show) => `${show(q[0])} (95 % ${show(q[3])} to ${show(q[4])})`;
    const orNaN = (values) => values.map((v) => (v === null ? NaN : v));

    const points = (runs, rows, fate, more) => ({
      type: "scatter", mode: "markers", hoverinfo: "text", showlegend: false,
      x: rows.map((i) => runs.params[i]),
      y: rows.map((i) => runs.loss[i]),
      text: rows.map((i) => runText(runs, i, fate(i))),
      ...more,
    });

    // What belongs to one budget: its runs, its parabola, its vertex with an interval.
    const tracesOf = (view, budget, index, t) => {
      const color = colorOf(budget, t);
      const rows = view.runs.budget.flatMap((b, i) => (b === index ? [i] : []));
      const fate = `budget ${budget.label}: ${stateOf(budget)}`;
      const params = orNaN(budget.params);
      const group = { meta: String(index), visible: !hidden.has(String(index)) };
      const outline = { color: t.dark ? "#d7dbe0" : "#444444", width: 0.7 };
      const marker = budget.used
        ? { color, size: 7, line: outline } : { color, size: 7, symbol: "circle-open" };
      const vertex = budget.used && budget.flags ? "diamond-open" : "diamond";
      return [
        { type: "scatter", mode: "lines", hoverinfo: "skip", showlegend: false, x: budget.curve[0],
          y: budget.curve[1], line: { color, width: 1.6, dash: "dash" }, ...group },
        points(view.runs, rows, () => fate, { marker, ...group }),
        { type: "scatter", mode: "markers", hoverinfo: "text", showlegend: false,
          x: [params[0]], y: [budget.loss[0]],
          error_x: { type: "data", symmetric: false, array: [params[4] - params[0]],
            arrayminus: [params[0] - params[3]], color, thickness: 1.6, width: 4 },
          marker: { symbol: budget.used ? vertex : "diamond-open", size: 11, color,
            line: { color: t.ink, width: 1.2 } },
          text: [[
            `<b>Vertex at ${Panels.safe(budget.label)} FLOPs</b>`,
            `N ${interval(params, Panels.humanise)}`,
            `D ${interval(orNaN(budget.tokens), Panels.humanise)}`,
            `loss ${interval(orNaN(budget.loss), (v) => Panels.significant(v, 5))}`,
            wrapped(stateOf(budget)),
          ].join("<br>")],
          ...group },
      ];
    };

    const tracesOfAll = (view, t) => {
      const traces = view.budgets.flatMap((budget, i) => tracesOf(view, budget, i, t));
      const loose = view.runs.budget.flatMap((b, i) => (b < 0 ? [i] : []));
      if (loose.length) {
        traces.push(points(view.runs, loose, () => `not used: ${view.loose.join("; ")}`,
          { marker: { color: t.grey, size: 7, symbol: "circle-open" }, meta: "loose",
            visible: !hidden.has("loose") }));
      }
      if (view.aside.run.length) {
        const rows = view.aside.run.map((_, i) => i);
        traces.push(points(view.aside, rows, (i) => `not seen by any fit: ${view.aside.why[i] || "held out"}`,
          { marker: { color: t.grey, size: 8, symbol: "x-thin-open" }, meta: "aside",
            visible: !hidden.has("aside") }));
      }
      return traces;
    };

    const rangeOf = (view) => {
      const losses = [...view.runs.loss].sort((a, b) => a - b);
      const at = (share) => losses[Math.round(share * (losses.length - 1))];
      const fence = at(0.75) + TOP_FENCE * (at(0.75) - at(0.25));
      const top = losses.filter((v) => v <= fence).at(-1);
      const bottoms = view.budgets.filter((b) => b.used).map((b) => b.loss[0]);
      const low = Math.min(losses[0], ...bottoms);
      const pad = PAST * (top - low || 0.1);
      const x = view.runs.params.map(Math.log10);
      const [first, last] = x.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
      const side = 0.07 * (last - first || 0.6);
      return { x: [first - side, last + side], y: [low - pad, top + pad],
        above: losses.filter((v) => v > fence).length };
    };

    const ticks = (range) =>
      Panels.logTicks(10 ** range[0], 10 ** range[1], plot.clientWidth / 70, (v) => Panels.humanise(v));

    const layout = (view, t) => {
      const range = rangeOf(view);
      const axis = { gridcolor: t.rule, linecolor: t.soft, zeroline: false, color: t.ink, ticks: "outside" };
      return {
        height: plot.clientHeight, margin: { l: 58, r: 14, t: 34, b: 48 }, dragmode: coarse.matches ? false : "zoom",
        paper_bgcolor: t.paper, plot_bgcolor: t.paper, showlegend: false, hovermode: "closest",
        hoverdistance: 12, hoverlabel: Panels.hover(t),
        font: { family: t.font, size: 12, color: t.ink },
        xaxis: { ...axis, type: "log", range: range.x, title: { text: "Parameters N" }, ...ticks(range.x) },
        yaxis: { ...axis, range: range.y, title: { text: Panels.safe(data.loss_label) } },
      };
    };

    const box = (id, text, color) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      const swatch = document.createElement("span");
      Object.assign(input, { type: "checkbox", checked: !hidden.has(id) });
      input.dataset.budget = id;
      swatch.className = "swatch";
      swatch.style.background = color;
      label.append(input, swatch, text);
      return label;
    };

    const addBoxes = (view, t) => {
      const boxes = view.budgets.map((b, i) =>
        box(String(i), b.label + (b.used ? (b.flags ? " (flagged)" : "") : " (unused)"), colorOf(b, t)));
      if (view.runs.budget.some((b) => b < 0)) boxes.push(box("loose", "near no budget", t.grey));
      if (view.aside.run.length) boxes.push(box("aside", "set aside or held out", t.grey));
      document.getElementById("valley-budgets").replaceChildren("Budgets, FLOPs", ...boxes);
    };

    const draw = async (wanted) => {
      const view = data.isoflop[Panels.shown()];
      spot = -1;
      if (!view) {
        if (drawn) window.Plotly.purge(plot);
        drawn = null;
        document.getElementById("valley-budgets").replaceChildren();
        said.textContent = "This family has no isoFLOP fit to draw.";
        return;
      }
      const t = Panels.theme();
      addBoxes(view, t);
      plot.setAttribute("aria-label", view.about);
      const above = rangeOf(view).above;
      const held = view.runs.run.length;
      said.textContent = [
        above ? `${above} ${above === 1 ? "run lies" : "runs lie"} above the view: zoom out to see ${above === 1 ? "it" : "them"}.` : "",
        held < view.all_runs ? `${held} of ${view.all_runs} runs are drawn, evenly over their order.` : "",
      ].filter(Boolean).join(" ");
      const Plotly = await Panels.plotly();
      if (!wanted()) return;
      drawn = await Plotly.react(plot, tracesOfAll(view, t), layout(view, t), CONFIG);
      if (!plot.dataset.ready) {
        plot.dataset.ready = "yes";
        plot.on("plotly_relayout", (change) => {
          if (!Object.keys(change).some((key) => key.startsWith("xaxis.range") || key === "xaxis.autorange")) return;
          const range = plot.layout.xaxis.range;
          const wanted = ticks(range);
          if (String(wanted.tickvals) === String(plot.layout.xaxis.tickvals)) return;
          Plotly.relayout(plot, { "xaxis.tickvals": wanted.tickvals, "xaxis.ticktext": wanted.ticktext });
        });
      }
    };

    // Arrow keys step through all points that are shown, budget by budget.
    const step = (by) => {
      if (!drawn) return;
      const stops = drawn.data.flatMap((trace, curveNumber) =>
        (trace.visible === false || trace.mode !== "markers" ? []
          : trace.x.map((_, pointNumber) => ({ curveNumber, pointNumber }))));
      if (!stops.length) return;
      spot = spot < 0 ? (by > 0 ? 0 : stops.length - 1) : (spot + by + stops.length) % stops.length;
      const stop = stops[spot];
      window.Plotly.Fx.hover(plot, [stop]);
      const text = new DOMParser().parseFromString(
        drawn.data[stop.curveNumber].text[stop.pointNumber].replaceAll("<br>", ", "), "text/html");
      said.textContent = text.body.textContent;
    };

    document.getElementById("valley-budgets").addEventListener("change", (event) => {
      const id = event.target.dataset.budget;
      if (event.target.checked) hidden.delete(id);
      else hidden.add(id);
      if (!drawn) return;
      const which = drawn.data.flatMap((trace, i) => (trace.meta === id ? [i] : []));
      window.Plotly.restyle(plot, { visible: event.target.checked }, which);
    });
    plot.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      step(by);
    });
    const again = Panels.drawing(panel, draw);
    Panels.onFamily(() => {
      hidden.clear();
      hidden.add("aside");
      again();
    });
    Panels.onTheme(again);
  };

  return { make };
})();
