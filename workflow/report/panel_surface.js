"use strict";
// The loss surface in three dimensions: runs, the fitted law, its efficient frontier.
const Surface = (() => {
  const GRID = 48;
  const CONFIG = Panels.config([["zoom3d", "pan3d", "orbitRotation"], ["resetCameraDefault3d"]]);
  const STEPS = 60;
  const EYE = { x: 1.5, y: 1.35, z: 0.75 };
  // Smaller where the window is narrow, or the labels of the loss would be cut off.
  const aspect = (narrow, k = narrow ? 0.8 : 1) => ({ x: 1.5 * k, y: 1.5 * k, z: 1.15 * k });
  const TURN = Math.PI / 18;
  const CLOSER = 0.9;

  const canDraw = () => {
    try {
      const canvas = document.createElement("canvas");
      return Boolean(canvas.getContext("webgl2") ?? canvas.getContext("webgl"));
    } catch {
      return false;
    }
  };

  // The range of a quantity over all families, so that their scenes can be compared.
  const span = (views, name) => {
    let [low, high] = [Infinity, -Infinity];
    for (const view of views) {
      for (const v of view.runs[name]) {
        low = Math.min(low, v);
        high = Math.max(high, v);
      }
    }
    return [low, high];
  };
  const logPad = ([low, high], share) => {
    const side = share * (Math.log(high / low) || Math.log(4));
    return [low * Math.exp(-side), high * Math.exp(side)];
  };
  const between = ([low, high], count) =>
    Array.from({ length: count }, (_, i) => low * (high / low) ** (i / (count - 1)));

  const make = (data) => {
    const panel = document.getElementById("surfaces");
    const plot = document.getElementById("surface-plot");
    const said = document.getElementById("surface-said");
    if (!panel) return;
    panel.hidden = false;
    if (!canDraw()) {
      for (const id of ["surface-controls", "surface-plot", "surface-help"]) document.getElementById(id).hidden = true;
      said.textContent = "This browser draws no WebGL, so the surface cannot be turned here: the figure “Loss surfaces” below shows it.";
      return;
    }
    const views = data.surface.filter(Boolean);
    const limits = Object.fromEntries(["tokens", "params"].map((q) => [q, logPad(span(views, q), 0.05)]));
    const flops = span(views, "flops");
    const [low, high] = span(views, "loss");
    const pad = 0.06 * (high - low || 0.1);
    const losses = [low - 1.5 * pad, high + pad];
    const mesh = document.getElementById("surface-mesh");
    let drawn = null;

    const runText = (runs, i) => [
      `<b>${Panels.safe(runs.run[i])}</b>`,
      `N ${Panels.humanise(runs.params[i])}, D ${Panels.humanise(runs.tokens[i])}`,
      `C ${Panels.flopsLabel(runs.flops[i])} FLOPs`,
      `loss ${Panels.significant(runs.loss[i], 5)}, fitted ${Panels.significant(runs.fitted[i] ?? NaN, 5)}`,
    ].join("<br>");

    const lossAt = ([E, A, B, alpha, beta, k], n, d) => E + (A * n ** -alpha + B * d ** -beta) ** k;
    const within = (loss) => (loss >= losses[0] && loss <= losses[1] ? loss : null);

    const colorBar = (t) => {
      const ticks = Panels.logTicks(flops[0], flops[1], 7, (v) => Panels.flopsLabel(v));
      const narrow = plot.clientWidth < 560;
      return {
        title: { text: "FLOPs", side: narrow ? "top" : "top", font: { size: 12 } },
        tickvals: ticks.tickvals.map(Math.log10), ticktext: ticks.ticktext, tickmode: "array",
        outlinewidth: 0, thickness: 12, len: narrow ? 0.8 : 0.6,
        ...(narrow ? { orientation: "h", y: -0.02, yanchor: "top" } : { x: 1, xanchor: "right" }),
        tickfont: { color: t.ink },
      };
    };

    const tracesOf = (view, t) => {
      const scale = view.colors.map((c, i) => [i / (view.colors.length - 1), c]);
      const range = { cmin: Math.log10(flops[0]), cmax: Math.log10(flops[1] > flops[0] ? flops[1] : flops[0] * 10) };
      const traces = [{
        type: "scatter3d", mode: "markers", hoverinfo: "text", showlegend: false,
        x: view.runs.tokens, y: view.runs.params, z: view.runs.loss,
        text: view.runs.run.map((_, i) => runText(view.runs, i)),
        marker: { size: view.runs.run.length > 200 ? 3 : 4.5, color: view.runs.flops.map(Math.log10),
          colorscale: scale, ...range, showscale: true, colorbar: colorBar(t),
          line: { color: t.dark ? "#e3e6ea" : "#333333", width: 1 } },
      }];
      if (!view.law) return traces;
      const tokens = between(limits.tokens, GRID);
      const params = between(limits.params, GRID);
      const z = params.map((n) => tokens.map((d) => lossAt(view.law, n, d)));
      const wire = { show: true, color: t.dark ? "#aab2bc" : "#777777", width: 1, highlight: false };
      traces.push({
        type: "surface", hoverinfo: "skip", showscale: false, visible: mesh.checked, meta: "mesh",
        x: tokens, y: params, z, opacity: 0.55, colorscale: scale, ...range,
        surfacecolor: params.map((n) => tokens.map((d) => Math.log10(6 * n * d))),
        lighting: { ambient: 1, diffuse: 0, specular: 0, fresnel: 0 },
        contours: {
          z: { ...wire, start: losses[0], end: losses[1], size: (losses[1] - losses[0]) / 14, project: { z: false } },
        },
      });
      const best = between(flops, STEPS).map((c) => {
        const [E, A, B, alpha, beta, k] = view.law;
        const p = Laws.pointOf({ says: "surface", point: [E, Math.log(A), Math.log(B), alpha, beta, k] }, c);
        return { c, n: Math.exp(p.lnN), d: Math.exp(p.lnD), loss: p.loss };
      }).filter((p) => within(p.loss) && p.n >= limits.params[0] && p.n <= limits.params[1]
        && p.d >= limits.tokens[0] && p.d <= limits.tokens[1]);
      traces.push({
        type: "scatter3d", mode: "lines", hoverinfo: "text", showlegend: false, meta: "frontier",
        x: best.map((p) => p.d), y: best.map((p) => p.n), z: best.map((p) => p.loss),
        line: { color: t.red, width: 7 },
        text: best.map((p) => ["<b>Efficient frontier</b>", `C ${Panels.flopsLabel(p.c)} FLOPs`,
          `N ${Panels.humanise(p.n)}, D ${Panels.humanise(p.d)}`,
          `loss ${Panels.significant(p.loss)}`].join("<br>")),
      });
      return traces;
    };

    const layout = (t) => {
      const axis = (title, more) => ({
        title: { text: Panels.safe(title), font: { size: 12 } }, color: t.ink, gridcolor: t.rule,
        backgroundcolor: t.wash, showbackground: true, showspikes: false, zeroline: false, ...more,
      });
      const log = (title, [a, b]) => axis(title, {
        type: "log", range: [Math.log10(a), Math.log10(b)],
        ...Panels.logTicks(a, b, 3, (v) => Panels.humanise(v)),
      });
      return {
        height: plot.clientHeight, margin: { l: 0, r: 0, t: 30, b: 0 }, paper_bgcolor: t.paper,
        font: { family: t.font, size: 11, color: t.ink }, hoverlabel: Panels.hover(t),
        uirevision: "view",
        scene: {
          xaxis: log("Tokens D", limits.tokens), yaxis: log("Parameters N", limits.params),
          zaxis: axis(data.loss_label, { range: losses }),
          aspectmode: "manual", aspectratio: aspect(plot.clientWidth < 560),
          camera: { eye: EYE, projection: { type: "orthographic" } }, dragmode: "orbit",
        },
      };
    };

    const draw = async (wanted) => {
      const view = data.surface[Panels.shown()];
      if (!view) {
        if (drawn) window.Plotly.purge(plot);
        drawn = null;
        said.textContent = "This family has no parametric fit to draw.";
        return;
      }
      plot.setAttribute("aria-label", view.about);
      const held = view.runs.run.length;
      said.textContent = [
        view.law ? "The red line is the efficient frontier: the best split of every budget." : "The fit failed, so no surface is drawn.",
        held < view.all_runs ? `${held} of ${view.all_runs} points are drawn, evenly over their compute.` : "",
      ].filter(Boolean).join(" ");
      const t = Panels.theme();
      const Plotly = await Panels.plotly();
      if (!wanted()) return;
      drawn = await Plotly.react(plot, tracesOf(view, t), layout(t), CONFIG);
      plot.dataset.ready = "yes";
    };

    const turn = (how) => {
      if (!drawn) return;
      const eye = plot.layout.scene.camera.eye;
      let angle = Math.atan2(eye.y, eye.x);
      let flat = Math.hypot(eye.x, eye.y);
      const far = Math.hypot(flat, eye.z);
      let rise = Math.atan2(eye.z, flat);
      if (how === "reset") {
        window.Plotly.relayout(plot, {
          "scene.camera": { eye: EYE, projection: { type: "orthographic" } },
          "scene.aspectratio": aspect(plot.clientWidth < 560),
        });
        return;
      }
      if (how === "in" || how === "out") {
        // The eye's distance does not count in an orthographic view.
        const now = plot.layout.scene.aspectratio;
        const by = how === "in" ? 1 / CLOSER : CLOSER;
        window.Plotly.relayout(plot, {
          "scene.aspectratio": { x: now.x * by, y: now.y * by, z: now.z * by },
        });
        return;
      }
      if (how === "left") angle -= TURN;
      if (how === "right") angle += TURN;
      if (how === "up") rise = Math.min(rise + TURN, 1.5);
      if (how === "down") rise = Math.max(rise - TURN, -1.5);
      flat = far * Math.cos(rise);
      window.Plotly.relayout(plot, {
        "scene.camera.eye": { x: flat * Math.cos(angle), y: flat * Math.sin(angle), z: far * Math.sin(rise) },
      });
    };

    document.getElementById("surface-controls").addEventListener("click", (event) => {
      const how = event.target.dataset.turn;
      if (how) turn(how);
    });
    mesh.addEventListener("change", () => {
      if (!drawn) return;
      const which = drawn.data.flatMap((trace, i) => (trace.meta === "mesh" ? [i] : []));
      window.Plotly.restyle(plot, { visible: mesh.checked }, which);
    });
    plot.addEventListener("keydown", (event) => {
      const how = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down",
        "+": "in", "=": "in", "-": "out" }[event.key];
      if (!how) return;
      event.preventDefault();
      turn(how);
    });
    const again = Panels.drawing(panel, draw);
    Panels.onFamily(again);
    Panels.onTheme(again);
  };

  return { make };
})();
