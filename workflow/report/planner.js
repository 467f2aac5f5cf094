"use strict";
// The planner: a budget and a size in, what every law says of them out.
const Planner = (() => {
  const SECONDS_PER_HOUR = 3600;
  const HOURS = { s: 1 / 3600, min: 1 / 60, h: 1, d: 24 };
  const ADDRESS = "#planner?"; // what the fragment of a link to an answer begins with
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

  // GPU time in hours: a bare number is hours, as 10000 or 2M; 90 s, 15 min and 3 days are too.
  const parseHours = (text) => {
    const timed = /^(.+?)\s*(?:gpu[- ])?(s|min|h|d)(?:ec(?:ond)?s?|ute?s?|ours?|ays?)?$/i.exec(text.trim());
    const value = timed && bare(timed[1]);
    return value === null || !timed ? parseCount(text) : value * HOURS[timed[2].toLowerCase()];
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
    const value = byFlops ? parseFlops(field.value) : parseHours(field.value);
    const example = byFlops ? "1e21, 3.2e23 or 500 PF-days" : "10000, 1.5e6, 2M or 90 s";
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
    const made = node("table", "", "estimates stacks");
    const head = made.createTHead().insertRow();
    heads.forEach(([name, unit], i) => {
      const th = node("th", name, i ? "num" : "");
      th.scope = "col";
      if (unit) th.append(" ", node("span", unit, "unit"));
      head.append(th);
    });
    const body = made.createTBody();
    body.append(...rows);
    // On a phone each row is a block, and its cells say what they are.
    for (const row of rows) {
      [...row.cells].slice(1).forEach((td, i) => {
        if (td.colSpan === 1) td.dataset.head = heads[i + 1].filter(Boolean).join(", ");
      });
    }
    return made;
  };

  // How far a budget lies from the runs of a family, as flopline.reach has it.
  const reachOf = (flops, span, grades) => {
    if (!span) return null;
    const [smallest, largest] = span;
    const side = flops > largest ? "beyond" : flops < smallest ? "below" : "within";
    const times = { beyond: flops / largest, below: smallest / flops, within: 1 }[side];
    const grade = grades.find((g) => g.most === null || times <= g.most);
    const where = side === "beyond"
      ? `${Panels.humanise(times)}× the largest run's compute (${Panels.flopsLabel(largest)}`
      : `${Panels.humanise(times)}× below the smallest run (${Panels.flopsLabel(smallest)}`;
    const words = side === "within"
      ? `within the runs, the largest of which has ${Panels.flopsLabel(largest)} FLOPs`
      : `${where} FLOPs), ${grade.name}`;
    return { side, words, recommends: grade.recommends };
  };

  const timesBest = (ratio) =>
    (Math.abs(ratio - 1) < 0.005 ? "the best N" : `${Panels.humanise(ratio)} times the best N`);
  const NO_SURFACE = "No fitted surface of this family tells how fast the loss rises beside the best size.";
  const small = (least, digits) => (x) =>
    (x < least && x >= 0 ? `< ${least}` : Panels.plain(Number(x.toPrecision(digits))));

  const make = (data) => {
    const { lines: packed, accelerators, spans, ratios, outside, targets, grades, follows, silent } = data.planner;
    const lines = packed.map((line) => (line.draws ? Laws.unpack(line) : line));
    const surfaces = data.families.map((_, f) =>
      lines.find((line) => line.family === f && line.says === "surface" && line.draws));
    const usable = lines.filter((line) => line.draws);
    const [flopsField, hoursField, mfuField, device, size, slider, lossField, limitField, valueField] =
      ["plan-flops", "plan-hours", "plan-mfu", "plan-device", "plan-size", "plan-slider", "ask-loss", "ask-limit", "ask-value"].map(el);
    let last = null;

    // What the decision follows of a family at its nearest target that has a line; null without one.
    const followAt = (family, flops) => {
      const far = (follow) => Math.abs(Math.log(flops / follow.flops));
      return follows[family].reduce((best, one) => (best === null || far(one) < far(best) ? one : best), null);
    };
    // The line that answers for the chosen family: what the decision follows, else its first law.
    const reference = () => {
      const mine = usable.filter((line) => line.family === Panels.shown());
      const follow = last && followAt(Panels.shown(), last.flops);
      return mine.find((line) => follow && line.law === follow.law) ?? mine[0] ?? null;
    };
    // Why the decision gives no line for such a budget, as bearing.silence_at has it; else empty.
    // Where a line is followed, `unborne` says what lies out of reach of the runs.
    const refusal = (family, flops) => {
      const far = (target) => Math.abs(Math.log(flops / target));
      const withLine = follows[family].map((follow) => follow.flops);
      const own = silent[family].find((entry) => far(entry.budget_flops) < 1e-9);
      if (own) return own.sentence;
      if (withLine.some((target) => far(target) < 1e-9)) return "";
      const reach = reachOf(flops, spans[family], grades);
      if (reach && !reach.recommends) {
        return withLine.length ? "" : `These runs do not say what to train at ${Panels.flopsLabel(flops)} FLOPs: this compute is ${reach.words}.`;
      }
      const holds = ({ budget_flops: target, up_to_flops: end }) =>
        flops > end && !(flops > target && withLine.some((other) => other > target));
      const nearest = silent[family]
        .filter((entry) => entry.beside && (!withLine.length || holds(entry)))
        .sort((a, b) => far(a.budget_flops) - far(b.budget_flops))[0];
      if (nearest) return `These runs do not say what to train at ${Panels.flopsLabel(flops)} FLOPs: ${nearest.beside}`;
      return withLine.length ? "" : `The decision follows no line of ${data.families[family]}.`;
    };
    const inSentence = (label) => (/^.[a-z]/.test(label) ? label.charAt(0).toLowerCase() + label.slice(1) : label);
    const nameOf = (line) => `${line.name} law${data.families.length > 1 ? ` of ${data.families[line.family]}` : ""}`;
    const reached = (line, flops) => reachOf(flops, spans[line.family], grades);
    // Why the runs cannot bear a run of so much compute and so many tokens per param; else empty.
    const unborne = (line, flops, ratio) => {
      const reach = reached(line, flops);
      if (reach && !reach.recommends) return `this compute is ${reach.words}`;
      const [least, most] = ratios[line.family] ?? [0, Infinity];
      if (ratio >= least / outside && ratio <= most * outside) return "";
      return `${Panels.humanise(ratio)} tokens per param lie more than ${outside} times outside those of the runs, ${Panels.humanise(least)} to ${Panels.humanise(most)}`;
    };
    const ratioAt = (line, flops) => {
      const { lnN, lnD } = Laws.pointOf(line, flops);
      return Math.exp(lnD - lnN);
    };
    const followed = (line, flops) => {
      const follow = followAt(line.family, flops);
      return follow && follow.law === line.law && !refusal(line.family, flops) ? follow : null;
    };
    const offered = (line, flops) => {
      const follow = followed(line, flops);
      return Boolean(follow) && !follow.beside && !unborne(line, flops, ratioAt(line, flops));
    };

    const rowOf = (line, cells, span, message) => {
      const tr = document.createElement("tr");
      Object.assign(tr.dataset, { family: data.families[line.family], law: line.law });
      const recommended = last && offered(line, last.flops);
      if (recommended) tr.className = "recommended";
      const th = node("th", data.families.length > 1 ? `${data.families[line.family]}, ${line.name}` : line.name);
      th.scope = "row";
      if (recommended) th.append(" ", node("span", "recommended", "tag"));
      if (line.refused) th.append(" ", node("span", "refused", "status refuted"));
      else if (line.verdict !== "good") th.append(" ", node("span", line.status, `status ${line.verdict}`));
      if (line.loss_words !== data.loss_words) th.append(node("span", inSentence(line.loss_words), "sub"));
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

    // The folded tables are filled when somebody looks, with every law of every family.
    const folded = (id, fill) => {
      const fold = el(`${id}-fold`);
      const now = () => {
        if (fold.open) fill();
      };
      fold.addEventListener("toggle", now);
      return now;
    };

    const answers = folded("plan-answer", () => {
      if (!last) return el("plan-answer").replaceChildren(node("p", "Give a budget above.", "sub"));
      const rows = lines.map((line) => {
        if (!line.draws) return rowOf(line, [], QUANTITIES.length, line.message);
        const values = Laws.atBudget(line, last.flops);
        return rowOf(line, QUANTITIES.map(([q, , , show]) => estimateCell(q, values[q], show)));
      });
      const heads = [["Law"], ...QUANTITIES.map(([, name, unit]) => [name, unit])];
      return el("plan-answer").replaceChildren(table(heads, rows));
    });

    const say = (box, sentences) =>
      box.replaceChildren(...sentences.filter(Boolean).map(([text, style]) => node("p", text, `prose ${style ?? ""}`)));

    const within = (e, show) =>
      (Number.isNaN(e.lo95) || show(e.lo95) === show(e.hi95) ? show(e.point) : `${show(e.point)} [${show(e.lo95)}, ${show(e.hi95)}]`);

    // What the law of the chosen family says, in one line, and how far that is from its runs.
    const answer = (flops) => {
      const line = reference();
      const family = Panels.shown();
      if (!line) return [[`No law of ${data.families[family]} gives a number.`, "wrong"]];
      const refused = refusal(family, flops);
      if (refused) return [[refused, "lead"]];
      const reach = reached(line, flops);
      const follow = followed(line, flops);
      const { own, forecast } = Laws.stated(line, follow, flops);
      const why = unborne(line, flops, own.tokens_per_param.point);
      if (why) return [[`Nothing is recommended at ${Panels.flopsLabel(flops)} FLOPs: ${why}.`, "lead"]];
      const values = forecast ?? own;
      return [
        [`Train ${within(values.params, Panels.humanise)} params on ${within(values.tokens, Panels.humanise)} tokens and expect a ${inSentence(line.loss_words)} of ${within(values.loss, Panels.significant)}.`, "lead"],
        [[
          `${nameOf(line)}${follow.beside ? `, ${follow.beside.label}` : ""}; ${forecast ? "95 % forecasts" : "95 % intervals if the law holds"}.`,
          forecast && `If the law holds: ${within(own.params, Panels.humanise)} params, loss ${within(own.loss, Panels.significant)}.`,
          reach && `${reach.words.charAt(0).toUpperCase()}${reach.words.slice(1)}.`,
        ].filter(Boolean).join(" "), reach && reach.side !== "within" ? "note warned" : "sub"],
      ];
    };

    const readSize = () => {
      wrong(size, "");
      const value = parseCount(size.value);
      if (value === null || !(value >= 1 && value <= 1e20)) {
        return { problem: wrong(size, `“${size.value.trim()}” is not a number of params: write it as 7B, 1.3e9 or 70,000,000.`) };
      }
      return { params: value };
    };

    const costs = folded("plan-cost", () => {
      const box = el("plan-cost");
      const { params } = readSize();
      if (!last || !params) return box.replaceChildren(node("p", last ? "Give your N above." : "Give a budget above.", "sub"));
      const rows = usable.map((line) => {
        const surface = surfaces[line.family];
        if (!surface) return rowOf(line, [], 4, NO_SURFACE);
        const d = Laws.deviation(line, surface, last.flops, params);
        const hours = Object.fromEntries(Object.entries(d.wasted_percent).map(([k, v]) => [k, (v / 100) * last.hours]));
        return rowOf(line, [
          cell(Panels.significant(d.loss), d.loss),
          estimateCell("extra_loss", d.extra_loss, small(0.0001, 3)),
          estimateCell("wasted_percent", d.wasted_percent, small(0.01, 3)),
          estimateCell("wasted_hours", hours, Panels.gpuTime),
        ]);
      });
      const heads = [["Law"], ["Loss", data.loss_unit], ["Extra loss", data.loss_unit], ["Wasted", "% of compute"], ["Wasted", "GPU time"]];
      return box.replaceChildren(table(heads, rows));
    });

    // What a forecast adds to the loss that the line states at a budget; null without a forecast.
    const missedAt = (line, follow, flops) => {
      if (!follow) return null;
      const { forecast } = Laws.stated(line, follow, flops);
      return forecast && forecast.loss.point - Laws.atBudget(line, flops).loss.point;
    };

    const cost = () => {
      const line = reference();
      const { params, problem } = readSize();
      if (!last || !line || problem) {
        say(el("plan-size-said"), last && problem ? [[problem, "wrong"]] : []);
        return costs();
      }
      const counted = Laws.countOf(line).length > 0;
      const tokens = counted ? Laws.tokens(line, last.flops, params) : last.flops / (6 * params);
      const how = counted ? "what the budget buys by the study's count of FLOPs" : "D = C/6N";
      const ratio = params / Math.exp(Laws.pointOf(line, last.flops).lnN);
      const surface = surfaces[line.family];
      const why = refusal(line.family, last.flops) || unborne(line, last.flops, tokens / params);
      const follow = followed(line, last.flops);
      let loses = NO_SURFACE;
      if (surface) {
        const d = Laws.deviation(line, surface, last.flops, params);
        const wasted = small(0.01, 3)(d.wasted_percent.point);
        const time = Panels.gpuTime((d.wasted_percent.point / 100) * last.hours);
        const missed = missedAt(line, follow, last.flops);
        const loss = missed === null ? `Loss ${Panels.significant(d.loss)} by the law` : `Expect a loss of ${Panels.significant(d.loss + missed)}`;
        loses = `${loss}; ${wasted} % of the compute is wasted, ${time}.`;
      }
      say(el("plan-size-said"), [[
        `${Panels.humanise(params)} params on ${Panels.humanise(tokens)} tokens (${how})${why ? "." : `: ${timesBest(ratio)} by the ${nameOf(line)}. ${loses}`}`,
      ], why && [/^(These runs|The decision)/.test(why) ? why : `The runs do not bear it: ${why}.`, "note warned"]]);
      return costs();
    };

    const LIMITS = {
      params: ["params", "7B, 1.3e9 or 70,000,000"],
      tokens_per_param: ["tokens per param", "20"],
      most_tokens: ["tokens", "1T or 5e11"],
      most_params: ["params", "7B or 1.3e9"],
    };

    // The question of the form, null where nothing is asked, or what is wrong with it.
    const readQuestion = () => {
      const limit = limitField.value;
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
    const NEVER = "Never: no compute reaches this loss by this law.";

    const asked = folded("ask-answer", () => {
      const question = readQuestion();
      const box = el("ask-answer");
      if (!question || question.problem) return box.replaceChildren(node("p", "Give a loss to reach, or a limit and its number, above.", "sub"));
      const rows = usable.map((line) => {
        const surface = surfaces[line.family];
        if (!surface && question.limit !== "free") return rowOf(line, [], ASKED.length, NO_SURFACE);
        const given = Laws.answer(line, surface, question);
        if (given.never) return rowOf(line, [], ASKED.length, NEVER);
        return rowOf(line, ASKED.map(([q, , , show]) =>
          (given[q].lo95 === given[q].hi95 ? cell(show(given[q].point), given[q].point) : estimateCell(q, given[q], orNever(show)))));
      });
      box.dataset.asked = [question.loss ?? question.flops, question.limit, question.value].join();
      return box.replaceChildren(table([["Law"], ...ASKED.map(([, name, unit]) => [name, unit])], rows));
    });

    const ask = () => {
      const question = readQuestion();
      const line = reference();
      if (!question || question.problem || !line) {
        say(el("ask-said"), question?.problem ? [[question.problem, "wrong"]] : []);
        return asked();
      }
      const surface = surfaces[line.family];
      let text = NO_SURFACE;
      let style = "";
      if (surface || question.limit === "free") {
        const given = Laws.answer(line, surface, question);
        const show = (q, words) => (given[q].lo95 === given[q].hi95 ? words(given[q].point) : within(given[q], orNever(words)));
        const reach = given.never ? null : reached(line, given.flops.point);
        const why = given.never ? "" : refusal(line.family, given.flops.point).replace(/\.$/, "") || unborne(line, given.flops.point, given.tokens_per_param.point);
        style = reach && reach.side !== "within" ? "note warned" : "";
        const follow = given.never ? null : followed(line, given.flops.point);
        const missed = given.never ? null : missedAt(line, follow, given.flops.point);
        const moved = missed === null ? "" : Panels.significant(given.loss.point + missed);
        const expected = moved && moved !== Panels.significant(given.loss.point)
          ? ` With what the law has missed so far, expect ${moved}.` : "";
        if (given.never) text = NEVER;
        else if (why) text = /^These runs do not say/.test(why) ? `${why}.` : `The runs do not bear an answer: ${why}.`;
        else text = `${show("flops", Panels.flopsLabel)} FLOPs: ${show("params", Panels.humanise)} params on ${show("tokens", Panels.humanise)} tokens reach a ${inSentence(line.loss_words)} of ${show("loss", Panels.significant)} by the ${nameOf(line)}.${expected}${reach ? ` ${reach.words.charAt(0).toUpperCase()}${reach.words.slice(1)}.` : ""}`;
      }
      say(el("ask-said"), [[text, style]]);
      return asked();
    };

    let asking = 0;
    // Draws are searched one by one: not at every key.
    const askSoon = () => {
      clearTimeout(asking);
      asking = setTimeout(ask, 200);
    };

    const fromSlider = () => {
      const line = reference();
      if (!last || !line) return;
      const best = Math.exp(Laws.pointOf(line, last.flops).lnN);
      size.value = Panels.humanise(best * 10 ** (Number(slider.value) / 100), 4);
      slider.setAttribute("aria-valuetext", timesBest(10 ** (Number(slider.value) / 100)));
    };
    const toSlider = () => {
      const { params } = readSize();
      const line = reference();
      if (!params || !last || !line) return;
      const ratio = params / Math.exp(Laws.pointOf(line, last.flops).lnN);
      slider.value = String(Math.round(100 * Math.log10(ratio)));
    };

    // What is typed and chosen, as the fragment of the page's address holds it.
    const FIELDS = { mfu: mfuField, size, loss: lossField, limit: limitField, value: valueField };
    const state = () => {
      const held = new URLSearchParams({
        budget: (mode() === "flops" ? flopsField : hoursField).value.trim(),
        unit: mode(),
        family: data.family_ids[Panels.shown()],
        device: accelerators[device.selectedIndex][0],
        mfu: mfuField.value.trim(),
      });
      const line = slider.dataset.typed === "yes" || slider.value !== "0";
      if (line) held.set("size", size.value.trim());
      if (lossField.value.trim()) held.set("loss", lossField.value.trim());
      if (limitField.value !== "free") {
        held.set("limit", limitField.value);
        held.set("value", valueField.value.trim());
      }
      return `${ADDRESS}${held}`;
    };
    const keep = () => {
      el("plan-link").href = state();
      history.replaceState(null, "", state());
    };

    // Takes the state of an address; says what of it this page does not know.
    const restore = () => {
      if (!location.hash.startsWith(ADDRESS)) return [];
      const held = new URLSearchParams(location.hash.slice(ADDRESS.length));
      const unknown = [];
      // What a link does not say stands as on a page that was just opened.
      document.querySelector("[name=plan-mode][value=flops]").checked = true;
      delete slider.dataset.typed;
      slider.value = "0";
      [lossField.value, limitField.value, valueField.value] = ["", "free", ""];
      const pick = (key, known, act) => {
        if (!held.has(key)) return;
        const at = known.indexOf(held.get(key));
        if (at < 0) unknown.push(`${key} “${held.get(key)}”`);
        else act(at);
      };
      pick("unit", ["flops", "hours"], (at) => {
        document.querySelectorAll("[name=plan-mode]")[at].checked = true;
      });
      pick("device", accelerators.map(([name]) => name), (at) => {
        device.selectedIndex = at;
      });
      pick("family", data.family_ids, Panels.show);
      pick("limit", Array.from(limitField.options, (option) => option.value), () => undefined);
      for (const [key, field] of Object.entries(FIELDS)) {
        if (held.has(key) && !unknown.some((text) => text.startsWith(`${key} `))) field.value = held.get(key);
      }
      if (held.has("budget")) (mode() === "flops" ? flopsField : hoursField).value = held.get("budget");
      if (held.has("size")) {
        slider.dataset.typed = "yes";
        el("size-fold").open = true;
      }
      if (held.has("loss") || held.has("limit")) el("ask-fold").open = true;
      el("planner").scrollIntoView();
      return unknown;
    };

    let unknown = [];
    const update = () => {
      const [name, peak, source] = accelerators[device.selectedIndex];
      el("plan-source").textContent = `${name}: peak ${Panels.flopsLabel(peak, 4)} dense BF16 FLOPS. ${source}`;
      const byFlops = mode() === "flops";
      flopsField.readOnly = !byFlops;
      hoursField.readOnly = byFlops;
      const budget = readBudget(peak);
      const strange = unknown.length && [`The link asks for ${unknown.join(" and ")}, which this page does not know: the choice here stands instead.`, "wrong"];
      if (budget.problem) {
        last = null;
        say(el("plan-said"), [strange, [budget.problem, "wrong"]]);
      } else {
        last = budget;
        const time = Panels.gpuTime(budget.hours);
        if (byFlops) hoursField.value = time.replace(/ GPU-(hours|minutes|seconds)$/, (_, unit) => ({ hours: "", minutes: " min", seconds: " s" })[unit]);
        else flopsField.value = Panels.flopsLabel(budget.flops, 6);
        const percent = mfuField.value.replace("%", "").trim();
        say(el("plan-said"), [
          strange,
          ...answer(budget.flops),
          [`${Panels.flopsLabel(budget.flops, 4)} FLOPs are ${time} of ${name} at ${percent} % utilisation.`, "sub"],
        ]);
        if (slider.dataset.typed === "yes") toSlider();
        else fromSlider();
      }
      answers();
      askSoon();
      el("plan-link").href = state();
      return cost();
    };

    let waiting = 0;
    const soon = () => {
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(update);
    };
    const changed = () => {
      unknown = [];
      soon();
      requestAnimationFrame(keep);
    };

    device.append(...accelerators.map(([name]) => node("option", name)));
    device.selectedIndex = accelerators.findIndex(([name]) => name === data.planner.usual);
    flopsField.value = Panels.flopsLabel(targets[0], 6);
    el("planner").hidden = !usable.length;
    if (!usable.length) return;
    for (const field of [flopsField, hoursField, mfuField]) field.addEventListener("input", changed);
    el("plan-form").addEventListener("change", changed);
    el("plan-form").addEventListener("submit", (event) => event.preventDefault());
    Panels.onFamily((event) => (event.isTrusted ? changed() : soon()));
    slider.addEventListener("input", () => {
      delete slider.dataset.typed;
      fromSlider();
      cost();
      keep();
    });
    size.addEventListener("input", () => {
      slider.dataset.typed = "yes";
      toSlider();
      cost();
      keep();
    });
    for (const [field, on] of [[lossField, "input"], [valueField, "input"], [limitField, "change"]]) {
      field.addEventListener(on, () => {
        askSoon();
        keep();
      });
    }
    const open = () => {
      unknown = restore();
      update();
    };
    addEventListener("hashchange", () => {
      if (location.hash.startsWith(ADDRESS)) open();
    });
    open();
  };

  return { make, parseFlops, parseCount, parseHours };
})();
