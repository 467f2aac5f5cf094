"use strict";
// What the interactive panels share: unpacking, numbers as text, colours of the page, log ticks.
const Panels = (() => {
  const unpacked = async (id) => {
    const packed = atob(document.getElementById(id).textContent.trim());
    const bytes = new Uint8Array(packed.length);
    for (let i = 0; i < packed.length; i += 1) bytes[i] = packed.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };

  // Plotly starts only when a panel is near: it takes longer than the whole page.
  let started = null;
  const plotly = () => {
    started ??= unpacked("packed-plotly").then((code) => {
      const script = document.createElement("script");
      script.textContent = code;
      document.head.append(script);
      return window.Plotly;
    });
    return started;
  };

  const whenNear = (element, act) => {
    const watcher = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watcher.disconnect();
      act();
    }, { rootMargin: "400px" });
    watcher.observe(element);
  };

  const MISSING = "–";
  const strip = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  const tidy = (text) => text.replace(/e([+-])(\d+)/, (_, sign, digits) => `e${sign === "-" ? "-" : ""}${digits}`);

  // The same words as flopline.numbers: 63.2B, 5.76e23, 1.974.
  const humanise = (x, digits = 3) => {
    if (!Number.isFinite(x)) return MISSING;
    const [mantissa, power] = x.toExponential(digits - 1).split("e");
    const exponent = Number(power);
    const group = Math.max(Math.floor(exponent / 3), 0);
    if (group > 4 || exponent < -3) return plain(x, digits);
    const decimals = Math.max(digits - 1 - (exponent - 3 * group), 0);
    const scaled = Number(mantissa) * 10 ** (exponent - 3 * group);
    return strip(scaled.toFixed(decimals)) + ["", "K", "M", "B", "T"][group];
  };
  const flopsLabel = (x, digits = 3) => {
    if (!Number.isFinite(x)) return MISSING;
    const [mantissa, exponent] = x.toExponential(digits - 1).split("e");
    return `${strip(mantissa)}e${Number(exponent)}`;
  };
  // As Python's format g: scientific below 1e-4.
  const general = (x, digits) =>
    tidy(x !== 0 && Math.abs(x) < 1e-4 ? x.toExponential(digits - 1) : x.toPrecision(digits));
  const significant = (x, digits = 4) => (Number.isFinite(x) ? general(x, digits) : MISSING);
  const plain = (x, digits = 6) => {
    if (!Number.isFinite(x)) return MISSING;
    const text = general(x, digits);
    const [mantissa, exponent] = text.split("e");
    return strip(mantissa) + (exponent === undefined ? "" : `e${exponent}`);
  };

  // GPU time in words, as flopline.planner.device_time.
  const gpuTime = (hours) => {
    if (!Number.isFinite(hours)) return MISSING;
    const seconds = hours * 3600;
    if (hours >= 1) return `${humanise(hours)} GPU-hours`;
    if (seconds >= 60) return `${humanise(seconds / 60)} GPU-minutes`;
    return seconds < 0.001 && seconds > 0 ? "< 0.001 GPU-seconds" : `${humanise(seconds)} GPU-seconds`;
  };

  // Plotly reads some HTML in its labels; a run may be called anything.
  const safe = (text) =>
    String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    return {
      dark: isDark.matches,
      ink: color("--ink"),
      soft: color("--soft"),
      paper: color("--paper"),
      wash: color("--wash"),
      rule: color("--rule"),
      grey: isDark.matches ? "#8a8f96" : "#999999",
      red: isDark.matches ? "#ff7a5c" : "#cc3311",
      font: getComputedStyle(document.body).fontFamily,
    };
  };

  const hover = (t) => ({
    bgcolor: t.wash, bordercolor: t.soft, align: "left",
    font: { color: t.ink, family: t.font, size: 12 },
  });

  // Ticks of a log axis from lo to hi, at most `most` of them, with the labels of the field.
  const logTicks = (lo, hi, most, label) => {
    const first = Math.floor(Math.log10(lo));
    const last = Math.ceil(Math.log10(hi));
    const inside = (mantissas, step = 1) => {
      const out = [];
      for (let e = first; e <= last; e += step) {
        for (const m of mantissas) {
          const value = Number(`${m}e${e}`);
          if (value >= lo * (1 - 1e-9) && value <= hi * (1 + 1e-9)) out.push(value);
        }
      }
      return out;
    };
    const sets = [[1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9], [1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3]];
    let values = sets.map((set) => inside(set)).find((set) => set.length <= most);
    for (let step = 1; !values; step += 1) {
      const decades = inside([1], step);
      if (decades.length <= most || step > 60) values = decades;
    }
    if (values.length < 2) {
      values = [0, 1, 2].map((k) => lo * (hi / lo) ** (k / 2));
    }
    return { tickmode: "array", tickvals: values, ticktext: values.map((v) => label(v)) };
  };

  // Named buttons only: by itself Plotly adds one that uploads what is drawn to its makers' cloud.
  const config = (buttons) => ({
    displaylogo: false,
    responsive: true,
    scrollZoom: false, // a wheel turned over a panel scrolls the page
    modeBarButtons: [["toImage"], ...buttons],
    plotlyServerURL: "",
    // As PNG it would need images from blobs, which the page's security policy forbids.
    toImageButtonOptions: { format: "svg" },
  });

  // Panels are drawn by family; each says what it shows in its label.
  const shown = () =>
    Number(document.querySelector("[name=panel-family]:checked")?.value ?? 0);
  const onFamily = (act) => document.getElementById("panel-family")?.addEventListener("change", act);
  const show = (family) => {
    const radio = document.querySelector(`[name=panel-family][value="${family}"]`);
    if (!radio || radio.checked) return;
    radio.checked = true;
    radio.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const onTheme = (act) => isDark.addEventListener("change", act);

  // Draws a panel when it comes near, and again at every call after that: what was chosen while a
  // drawing waited for Plotly is drawn in its place. `draw` is asked whether it is still wanted.
  const drawing = (panel, draw) => {
    let turn = 0;
    const now = () => {
      turn += 1;
      const mine = turn;
      return draw(() => mine === turn);
    };
    whenNear(panel, now);
    return () => (turn ? now() : undefined);
  };

  const start = (makers) => {
    const said = document.getElementById("panels-said");
    if (!said || typeof DecompressionStream !== "function" || !window.IntersectionObserver) return;
    unpacked("packed-panels").then((text) => {
      const data = JSON.parse(text);
      said.hidden = true;
      const families = document.getElementById("panel-family");
      if (families && data.families.length > 1) families.hidden = false;
      for (const make of makers) make(data);
    }).catch(() => {
      said.hidden = false;
      said.textContent = "The data of these panels could not be read, so only the figures and tables stand.";
    });
  };

  return { plotly, drawing, humanise, flopsLabel, significant, plain, gpuTime, safe, theme, hover,
    logTicks, config, shown, show, onFamily, onTheme, start };
})();
