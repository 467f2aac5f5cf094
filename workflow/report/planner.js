"use strict";
// The planner: a budget and a size in, what every law says of them out.
const Planner = (() => {
  const SECONDS_PER_HOUR = 3600;
  const LEAST_FLOPS = 1;
  const MOST_FLOPS = 1e40;
  const SUFFIX = { "": 1, k: 1e3, m: 1e6, b: 1e9, g: 1e9, t: 1e12 };
  const UNITS = { "": 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12, p: 1e15, e: 1e18, z: 1e21, y: 1e24 };
  const PF_DAY = 1e15 * 24 * SECONDS_PER_HOUR;

  const el = (id) => document.getElementById(id);
  const node = (tag, text = "", classes = "") => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (classes) made.className = classes;
    return made;
  };

  // A number as people write it: 3.2e23, 1,000,000, 6.3 x 10^22, 1_000; else null.
  const bare = (text) => {
    const plain = text.replace(/[\s_\u00a0\u202f]/g, "").replace(/\*\*/g, "^")
      .replace(/(^|\d\.?)[x×*·]?10\^\{?([+-]?\d+)\}?$/i, (_, before, power) => `${before || "1"}e${power}`);
    const whole = /^\+?\d{1,3}(,\d{3})+(\.\d*)?(e[+-]?\d+)?$/i.test(plain) ? plain.replaceAll(",", "") : plain;
    return /^\+?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(whole) ? Number(whole) : null;
  };

  const parseFlops = (text) => {
    const days = /^(.+?)\s*(?:pf(?:lop)?s?|petaflops?)(?:\/s)?[- ]?days?$/i.exec(text.trim());
    if (days) return bare(days[1]) === null ? null : bare(days[1]) * PF_DAY;
    const unit = /^(.+?)\s*([kmgtpezy]?)flops?$/i.exec(text.trim());
    if (!unit) return bare(text);
    return bare(unit[1]) === null ? null : bare(unit[1]) * UNITS[unit[2].toLowerCase()];
  };

  const parseCount = (text) => {
    const found = /^(.+?)\s*([kmbgt]?)$/i.exec(text.trim());
    const value = found && bare(found[1]);
    return value === null || !found ? null : value * SUFFIX[found[2].toLowerCase()];
  };

  const wrong = (input, problem) => {
    if (problem) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    return problem;
  };

  const mode = () => document.querySelector("[name=plan-mode]:checked").value;

  // The budget and what is wrong with it, from the fields of the form.
  const readBudget = (peak) => {
    const [flopsField, hoursField, mfuField] = ["plan-flops", "plan-hours", "plan-mfu"].map(el);
    for (const field of [flopsField, hoursField, mfuField]) wrong(field, "");
    const percent = bare(mfuField.value.replace("%", ""));
    if (percent === null || !(percent > 0 && percent <= 100)) {
      return { problem: wrong(mfuField, "Utilisation is a percentage above 0 and up to 100, as 40.") };
    }
    const perHour = SECONDS_PER_HOUR * peak * (percent / 100);
    const byFlops = mode() === "flops";
    const field = byFlops ? flopsField : hoursField;
    const value = byFlops ? parseFlops(field.value) : parseCount(field.value);
    const example = byFlops ? "1e21, 3.2e23 or 500 PF-days" : "10000, 1.5e6 or 2M";
    if (!field.value.trim()) return { problem: wrong(field, `Type a budget, as ${example}.`) };
    if (value === null) {
      return { problem: wrong(field, `“${field.value.trim()}” is not a number: write it as ${example}.`) };
    }
    const flops = byFlops ? value : value * perHour;
    if (!(flops >= LEAST_FLOPS && flops <= MOST_FLOPS)) {
      return { problem: wrong(field, `A budget lies between ${LEAST_FLOPS} and ${Panels.flopsLabel(MOST_FLOPS)} FLOPs.`) };
    }
    return { flops, hours: byFlops ? flops / perHour : value, perHour };
  };

  const cell = (text, value) => {
    const td = node("td", "", "estimate");
    const point = node("span", text, "point");
    point.dataset.value = String(value);
    td.append(point);
    return td;
  };

  const estimateCell = (name, e, show) => {
    const td = cell(show(e.point), e.point);
    td.dataset.quantity = name;
    const none = !Number.isFinite(e.lo95);
    if (none) td.append(node("span", "no interval", "ci"));
    for (const level of none ? [] : [80, 95]) {
      const [lo, hi] = [e[`lo${level}`], e[`hi${level}`]];
      const span = node("span", "", "ci");
      span.append(node("i", `${level} %`), ` ${show(lo)} to ${show(hi)}`);
      Object.assign(span.dataset, { lo: String(lo), hi: String(hi), level });
      td.append(span);
    }
    return td;
  };

  const table = (heads, rows) => {
    const made = node("table", "", "estimates");
    const head = made.createTHead().insertRow();
    heads.forEach(([name, unit], i) => {
      const th = node("th", name, i ? "num" : "");
      th.scope = "col";
      if (unit) th.append(" ", node("span", unit, "unit"));
      head.append(th);
    });
    const body = made.createTBody();
    body.append(...rows);
    return made;
  };

  // How far a budget lies from the runs of a family, in words.
  const beyond = (flops, span) => {
    if (!span) return "";
    if (flops > span[1]) return `${Panels.humanise(flops / span[1])} times the largest budget of the data`;
    if (flops < span[0]) return `${Panels.humanise(span[0] / flops)} times smaller than the smallest budget of the data`;
    return "within the budgets of the data";
  };

  const timesBest = (ratio) =>
    (Math.abs(ratio - 1) < 0.005 ? "the best N" : `${Panels.humanise(ratio)} times the best N`);
  const small = (least, digits) => (x) =>
    (x < least && x >= 0 ? `< ${least}` : Panels.plain(Number(x.toPrecision(digits))));

  const make = (data) => {
    const { lines: packed, accelerators, spans, targets } = data.planner;
    const lines = packed.map((line) => (line.draws ? Laws.unpack(line) : line));
    const surfaces = data.families.map((_, f) =>
      lines.find((line) => line.family === f && line.says === "surface" && line.draws));
    const usable = lines.filter((line) => line.draws);
    const reference = usable.find((line) => line.headline && line.recommended)
      ?? usable.find((line) => line.recommended) ?? usable[0];
    const [flopsField, hoursField, device, size, slider] =
      ["plan-flops", "plan-hours", "plan-device", "plan-size", "plan-slider"].map(el);
    let last = null;

    const rowOf = (line, cells, span, message) => {
      const tr = document.createElement("tr");
      Object.assign(tr.dataset, { family: data.families[line.family], law: line.law });
      if (line.recommended) tr.className = "recommended";
      const th = node("th", data.families.length > 1 ? `${data.families[line.family]}, ${line.name}` : line.name);
      th.scope = "row";
      if (line.recommended) th.append(" ", node("span", "recommended", "tag"));
      if (line.refused) th.append(" ", node("span", "refused", "status refuted"));
      else if (line.verdict !== "good") th.append(" ", node("span", line.status, `status ${line.verdict}`));
      if (line.variant) th.append(node("span", `The decision follows the variant “${line.variant}”, which keeps no draws: this is the main line.`, "sub"));
      tr.append(th, ...cells);
      if (!cells.length) {
        const td = node("td", message, "reason");
        td.colSpan = span;
        tr.append(td);
      }
      return tr;
    };

    const QUANTITIES = [
      ["params", "N", "params", Panels.humanise],
      ["tokens", "D", "tokens", Panels.humanise],
      ["tokens_per_param", "D/N", "tokens per param", Panels.humanise],
      ["loss", "Loss", `of the law, ${data.loss_unit}`, Panels.significant],
      ["loss_new_run", "Loss", "of one more run", Panels.significant],
    ];

    const answer = (flops) => {
      const rows = lines.map((line) => {
        if (!line.draws) return rowOf(line, [], QUANTITIES.length, line.message);
        const found = Laws.atBudget(line, flops);
        return rowOf(line, QUANTITIES.map(([q, , , show]) => estimateCell(q, found[q], show)));
      });
      const heads = [["Law"], ...QUANTITIES.map(([, name, unit]) => [name, unit])];
      el("plan-answer").replaceChildren(table(heads, rows));
    };

    const say = (box, sentences) =>
      box.replaceChildren(...sentences.filter(Boolean).map(([text, style]) => node("p", text, `prose ${style ?? ""}`)));

    const readSize = () => {
      wrong(size, "");
      const value = parseCount(size.value);
      if (value === null || !(value >= 1 && value <= 1e20)) {
        return { problem: wrong(size, `“${size.value.trim()}” is not a number of params: write it as 7B, 1.3e9 or 70,000,000.`) };
      }
      return { params: value };
    };

    const cost = () => {
      const box = el("plan-cost");
      if (!last) return box.replaceChildren();
      const { params, problem } = readSize();
      if (problem) {
        box.replaceChildren();
        return say(el("plan-size-said"), [[problem, "wrong"]]);
      }
      const counted = Laws.countOf(reference).length > 0;
      const tokens = counted ? Laws.tokens(reference, last.flops, params) : last.flops / (6 * params);
      const how = counted ? "what the budget buys by the study's count of FLOPs" : "D = C/6N";
      const ratio = params / Math.exp(Laws.pointOf(reference, last.flops).lnN);
      say(el("plan-size-said"), [[
        `${Panels.humanise(params)} params on ${Panels.humanise(tokens)} tokens (${how}): ${timesBest(ratio)} of the ${reference.name} law of ${data.families[reference.family]}.`,
      ]]);
      const rows = usable.map((line) => {
        const surface = surfaces[line.family];
        if (!surface) return rowOf(line, [], 4, "No fitted surface of this family tells how fast the loss rises beside the best size.");
        const d = Laws.deviation(line, surface, last.flops, params);
        const hours = Object.fromEntries(Object.entries(d.wasted_percent).map(([k, v]) => [k, (v / 100) * last.hours]));
        return rowOf(line, [
          cell(Panels.significant(d.loss), d.loss),
          estimateCell("extra_loss", d.extra_loss, small(0.0001, 3)),
          estimateCell("wasted_percent", d.wasted_percent, small(0.01, 3)),
          estimateCell("wasted_hours", hours, (x) => Panels.humanise(x)),
        ]);
      });
      const heads = [["Law"], ["Loss", data.loss_unit], ["Extra loss", data.loss_unit], ["Wasted", "% of compute"], ["Wasted", "GPU-hours"]];
      box.replaceChildren(table(heads, rows));
      return undefined;
    };

    const LIMITS = {
      params: ["params", "7B, 1.3e9 or 70,000,000"],
      tokens_per_param: ["tokens per param", "20"],
      most_tokens: ["tokens", "1T or 5e11"],
      most_params: ["params", "7B or 1.3e9"],
    };

    // The question of the form, null where nothing is asked, or what is wrong with it.
    const readQuestion = () => {
      const [lossField, valueField] = ["ask-loss", "ask-value"].map(el);
      const limit = el("ask-limit").value;
      for (const field of [lossField, valueField]) wrong(field, "");
      valueField.disabled = limit === "free";
      const loss = lossField.value.trim() ? bare(lossField.value) : null;
      if (lossField.value.trim() && !(loss > 0)) {
        return { problem: wrong(lossField, `“${lossField.value.trim()}” is not a loss: write it as 2.1.`) };
      }
      if (limit === "free") return loss === null ? null : { flops: null, loss, limit, value: null };
      if (!valueField.value.trim()) return null;
      const [what, example] = LIMITS[limit];
      const value = parseCount(valueField.value);
      if (!(value > 0 && value < 1e30)) {
        return { problem: wrong(valueField, `“${valueField.value.trim()}” is not a number of ${what}: write it as ${example}.`) };
      }
      if (loss === null && !last) return null;
      return { flops: loss === null ? last.flops : null, loss, limit, value };
    };

    const ASKED = [
      ["flops", "C", "FLOPs", Panels.flopsLabel],
      ["params", "N", "params", Panels.humanise],
      ["tokens", "D", "tokens", Panels.humanise],
      ["tokens_per_param", "D/N", "tokens per param", Panels.humanise],
      ["loss", "Loss", data.loss_unit, Panels.significant],
      ["wasted_percent", "Wasted", "% of compute", small(0.01, 3)],
    ];
    const orNever = (show) => (x) => (x === Infinity ? "never" : show(x));

    const ask = () => {
      const question = readQuestion();
      const box = el("ask-answer");
      if (!question || question.problem) {
        box.replaceChildren();
        return say(el("ask-said"), question ? [[question.problem, "wrong"]] : []);
      }
      say(el("ask-said"), []);
      const rows = usable.map((line) => {
        const surface = surfaces[line.family];
        if (!surface && question.limit !== "free") return rowOf(line, [], ASKED.length, "No fitted surface of this family tells how fast the loss rises beside the best size.");
        const found = Laws.answer(line, surface, question);
        if (found.never) return rowOf(line, [], ASKED.length, "Never: no compute reaches this loss by this law.");
        return rowOf(line, ASKED.map(([q, , , show]) =>
          (found[q].lo95 === found[q].hi95 ? cell(show(found[q].point), found[q].point) : estimateCell(q, found[q], orNever(show)))));
      });
      box.dataset.asked = [question.loss ?? question.flops, question.limit, question.value].join();
      box.replaceChildren(table([["Law"], ...ASKED.map(([, name, unit]) => [name, unit])], rows));
      return undefined;
    };

    let asking = 0;
    // Draws are searched one by one: not at every key.
    const askSoon = () => {
      clearTimeout(asking);
      asking = setTimeout(ask, 200);
    };

    const fromSlider = () => {
      if (!last) return;
      const best = Math.exp(Laws.pointOf(reference, last.flops).lnN);
      size.value = Panels.humanise(best * 10 ** (Number(slider.value) / 100), 4);
      slider.setAttribute("aria-valuetext", timesBest(10 ** (Number(slider.value) / 100)));
    };

    const update = () => {
      const [name, peak, source] = accelerators[device.selectedIndex];
      el("plan-source").textContent = `${name}: peak ${Panels.flopsLabel(peak, 4)} dense BF16 FLOPS. ${source}`;
      const byFlops = mode() === "flops";
      flopsField.readOnly = !byFlops;
      hoursField.readOnly = byFlops;
      const found = readBudget(peak);
      if (found.problem) {
        last = null;
        say(el("plan-said"), [[found.problem, "wrong"]]);
        say(el("plan-size-said"), []);
        el("plan-answer").replaceChildren();
        askSoon();
        return cost();
      }
      last = found;
      if (byFlops) hoursField.value = Panels.plain(found.hours, 4);
      else flopsField.value = Panels.flopsLabel(found.flops, 6);
      const percent = el("plan-mfu").value.replace("%", "").trim();
      const far = data.families.map((family, f) => {
        const where = beyond(found.flops, spans[f]);
        return where && `${data.families.length > 1 ? `${family}: ` : ""}${where}`;
      }).filter(Boolean);
      const outside = far.some((text) => !text.includes("within"));
      say(el("plan-said"), [
        [`${Panels.flopsLabel(found.flops, 4)} FLOPs are ${Panels.plain(found.hours, 4)} GPU-hours of ${name} at ${percent} % utilisation.`],
        far.length && [`${far.join("; ")}.${outside ? " There the laws are carried beyond what was seen, and their intervals hold no error of the form." : ""}`, outside ? "note warned" : ""],
      ]);
      answer(found.flops);
      if (slider.dataset.typed !== "yes") fromSlider();
      askSoon();
      return cost();
    };

    let waiting = 0;
    const soon = () => {
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(update);
    };

    device.append(...accelerators.map(([name]) => node("option", name)));
    device.selectedIndex = accelerators.findIndex(([name]) => name === "H100 SXM");
    flopsField.value = Panels.flopsLabel(targets[0], 6);
    for (const id of ["plan-flops", "plan-hours", "plan-mfu"]) el(id).addEventListener("input", soon);
    el("plan-form").addEventListener("change", soon);
    el("plan-form").addEventListener("submit", (event) => event.preventDefault());
    slider.addEventListener("input", () => {
      delete slider.dataset.typed;
      fromSlider();
      cost();
    });
    size.addEventListener("input", () => {
      slider.dataset.typed = "yes";
      const { params } = readSize();
      if (params && last) {
        const ratio = params / Math.exp(Laws.pointOf(reference, last.flops).lnN);
        slider.value = String(Math.round(100 * Math.log10(ratio)));
      }
      cost();
    });
    for (const id of ["ask-loss", "ask-value"]) el(id).addEventListener("input", askSoon);
    el("ask-limit").addEventListener("change", askSoon);
    el("planner").hidden = !usable.length;
    if (usable.length) update();
  };

  return { make, parseFlops, parseCount };
})();
