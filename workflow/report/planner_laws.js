"use strict";
// The laws at any budget: the same numbers as flopline.planner, whose names these functions have.
const Laws = (() => {
  const LEVELS = [10, 90, 2.5, 97.5];
  const ENDS = ["lo80", "hi80", "lo95", "hi95"];

  // Undoes packing.packed_floats.
  const floats = (text) => {
    const bytes = atob(text);
    const count = bytes.length / 8;
    const out = new Uint8Array(bytes.length);
    for (let byte = 0; byte < 8; byte += 1) {
      for (let i = 0; i < count; i += 1) out[8 * i + byte] = bytes.charCodeAt(byte * count + i);
    }
    const view = new DataView(out.buffer);
    return Float64Array.from({ length: count }, (_, i) => view.getFloat64(8 * i, true));
  };

  const unpack = (line) => ({
    ...line,
    draws: line.draws && line.draws.map(floats),
    newRun: line.new_run ? floats(line.new_run) : null,
    errors: line.misfit ? floats(line.misfit.errors) : null,
  });

  // Draws that must have a value for there to be an interval, as laws/common/fit_result.py has it.
  const fewest = (draws) => Math.max(2, 0.5 * draws.length);

  // A point with its percentile intervals of the finite draws, as numpy.percentile has them.
  const estimate = (point, draws) => {
    const out = { point };
    const finite = draws.filter(Number.isFinite).sort();
    ENDS.forEach((end, k) => {
      const at = (LEVELS[k] / 100) * (finite.length - 1);
      const low = Math.floor(at);
      const high = Math.min(low + 1, finite.length - 1);
      out[end] = finite.length < fewest(draws) ? NaN : finite[low] + (finite[high] - finite[low]) * (at - low);
    });
    return out;
  };

  // ln of C = 6ND (floor + coef N^u D^v) at ln N and ln D, and p and q of C = k N^p D^q near there.
  const counted = ([floor, coef, u, v], lnN, lnD) => {
    const varying = coef * Math.exp(u * lnN + v * lnD);
    const ratio = floor + varying;
    const share = varying / ratio;
    return { lnC: Math.log(6 * ratio) + lnN + lnD, p: 1 + u * share, q: 1 + v * share };
  };

  // ln D that a budget buys at ln N: C/6N without a count.
  const lnTokens = (count, flops, lnN) => {
    let lnD = Math.log(flops / 6) - lnN;
    for (let step = 0, moved = Infinity; count.length && step < 200 && Math.abs(moved) > 1e-13; step += 1) {
      const { lnC, q } = counted(count, lnN, lnD);
      moved = (Math.log(flops) - lnC) / q;
      lnD += moved;
    }
    return lnD;
  };

  // Lines of one law: row i of its columns, or its point where columns are single numbers.
  const ofSurface = ([E, lnA, lnB, alpha, beta, k, ...count], flops) => {
    const sum = alpha + beta;
    const lnG = (Math.log(alpha) + lnA - Math.log(beta) - lnB) / sum;
    const lnC = Math.log(flops / 6);
    let lnN = lnG + (beta / sum) * lnC;
    let lnD = (alpha / sum) * lnC - lnG;
    let [p, q] = [1, 1];
    // As surfaces/count.py: the optimum of the count as it is near the last step.
    for (let step = 0, moved = Infinity; count.length && step < 200 && Math.abs(moved) > 1e-12; step += 1) {
      const near = counted(count, lnN, lnD);
      ({ p, q } = near);
      const left = Math.log(flops) - (near.lnC - p * lnN - q * lnD);
      const next = (lnG * sum + Math.log(q / p) + (beta * left) / q) / (alpha + (beta * p) / q);
      moved = next - lnN;
      lnN = next;
      lnD = (left - p * lnN) / q;
    }
    const inner = Math.exp(lnA - alpha * lnN) + Math.exp(lnB - beta * lnD);
    const reducible = k === 1 ? inner : inner ** k;
    return { lnN, lnD, loss: E + reducible, reducible, alpha: alpha / p, beta: beta / q, steep: p, k };
  };

  const ofCompute = ([lnKN, a, lnKD, b, E, lnK, c, ...count], flops) => {
    const lnC = Math.log(flops);
    const lnN = lnKN + a * lnC;
    const lnD = count.length ? lnTokens(count, flops, lnN) : lnKD + b * lnC;
    return { lnN, lnD, loss: E + Math.exp(lnK - c * lnC) };
  };

  // The columns of a line that say how its FLOPs are counted; none where they are 6ND.
  const countOf = (line) => line.point.slice(line.says === "surface" ? 6 : 7);
  const tokens = (line, flops, params) => Math.exp(lnTokens(countOf(line), flops, Math.log(params)));

  const said = (line, columns, flops) =>
    (line.says === "surface" ? ofSurface : ofCompute)(columns, flops);

  const number = (value) => (value === null ? NaN : value);
  const pointOf = (line, flops) => said(line, line.point.map(number), flops);
  const drawsOf = (line, flops) =>
    Array.from(line.draws[0], (_, i) => said(line, line.draws.map((column) => column[i]), flops));

  // Relative standard deviation of the loss by the misfit of its law (fits/lackoffit.py).
  const relativeSd = (line, flops) => {
    const { share, runs, spread } = line.misfit;
    const size = Math.round(Math.sqrt(spread.length));
    const lnC = Math.log(flops);
    const [, , , , E, lnK, c] = line.point;
    const fall = Math.exp(lnK - c * lnC);
    const slopes = [1, fall, -lnC * fall].map((v) => v / (E + fall)).slice(-size);
    // Forward substitution in R' z = slopes.
    const z = [];
    for (let i = 0; i < size; i += 1) {
      let rest = slopes[i];
      for (let k = 0; k < i; k += 1) rest -= spread[k * size + i] * z[k];
      z.push(rest / spread[i * size + i]);
    }
    return share * Math.sqrt(1 + z.reduce((sum, v) => sum + v * v, 0) / runs);
  };

  const atBudget = (line, flops) => {
    const point = pointOf(line, flops);
    const draws = drawsOf(line, flops);
    const column = (read) => Float64Array.from(draws, read);
    const sd = line.misfit ? relativeSd(line, flops) : 0;
    const loss = column((d, i) => d.loss * (sd ? 1 + sd * line.errors[i] : 1));
    const newRun = line.newRun ? loss.map((v, i) => v * Math.exp(line.newRun[i])) : loss.map(() => NaN);
    return {
      params: estimate(Math.exp(point.lnN), column((d) => Math.exp(d.lnN))),
      tokens: estimate(Math.exp(point.lnD), column((d) => Math.exp(d.lnD))),
      tokens_per_param: estimate(
        Math.exp(point.lnD - point.lnN), column((d) => Math.exp(d.lnD - d.lnN))),
      loss: estimate(point.loss, loss),
      loss_new_run: estimate(point.loss, newRun),
    };
  };

  // What follows is flopline.following: the line that the decision follows, at any budget.
  const between = (sorted, share) => {
    const at = share * (sorted.length - 1);
    const low = Math.floor(at);
    return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (at - low);
  };
  // Half the central 68 % of logs, as ladder_predictions.spread_of has it.
  const spreadOf = (logs) => {
    const sorted = logs.filter((v) => !Number.isNaN(v)).sort();
    return (between(sorted, 0.84135) - between(sorted, 0.15865)) / 2;
  };
  const interpolated = (x, at, values) => {
    if (x <= at[0]) return values[0];
    const k = at.findIndex((v) => x <= v);
    if (k < 0) return values[values.length - 1];
    return values[k - 1] + ((values[k] - values[k - 1]) * (x - at[k - 1])) / (at[k] - at[k - 1]);
  };
  const outermost = (end, ...values) => {
    const known = values.filter((v) => !Number.isNaN(v));
    return (end.startsWith("lo") ? Math.min : Math.max)(...known);
  };

  const carried = (drift, flops, point, draws) => {
    const x = Math.max(Math.log(flops / drift.step), drift.nearest);
    const scale = Math.hypot(drift.scale * x, draws * (x <= drift.nearest ? 1 : drift.spread));
    const centre = Math.log(point) - drift.mean * x;
    const out = { point: Math.exp(centre) };
    for (const end of ENDS) out[end] = Math.exp(centre + scale * drift.quantiles[end]);
    return out;
  };

  // `own`: what the line says if it holds; `forecast`: null without a held-out ladder.
  const stated = (line, follow, flops) => {
    const { beside, drifts } = follow;
    const lnC = Math.log(flops);
    const own = atBudget(line, flops);
    if (beside) {
      const at = beside.budgets.map(Math.log);
      const inside = Math.min(Math.max(lnC, at[0]), at[at.length - 1]);
      for (const [name, factors] of Object.entries(beside.factors)) {
        const past = (beside.slopes[name] ?? 0) * (lnC - inside);
        for (const [end, values] of Object.entries(factors)) {
          own[name][end] *= Math.exp(interpolated(inside, at, values.map((v) => Math.log(number(v)))) + past);
        }
      }
    }
    if (!drifts.params || !drifts.loss) return { own, forecast: null };
    const draws = beside ? null : drawsOf(line, flops);
    const spread = (name, read) => {
      if (!beside) return spreadOf(Float64Array.from(draws, read));
      const known = beside.spreads[name];
      return known ? interpolated(lnC, beside.budgets.map(Math.log), known) : 0;
    };
    const loss = carried(drifts.loss, flops, own.loss.point, spread("loss", (d) => Math.log(d.loss)));
    const size = carried(drifts.params, flops, own.params.point, spread("params", (d) => d.lnN));
    const forecast = { loss };
    for (const name of ["params", "tokens", "tokens_per_param"]) forecast[name] = { point: own[name].point };
    const across = { lo80: "hi80", hi80: "lo80", lo95: "hi95", hi95: "lo95" };
    for (const end of ENDS) {
      size[end] = outermost(end, size[end], own.params[end], own.params.point);
      forecast.params[end] = size[end];
    }
    for (const end of ENDS) {
      const ratio = own.params.point / size[across[end]];
      for (const [name, factor] of [["tokens", ratio], ["tokens_per_param", ratio ** 2]]) {
        forecast[name][end] = outermost(end, own[name].point * factor, own[name][end], own[name].point);
      }
    }
    return { own, forecast };
  };

  // Extra loss of N = N_opt exp(x) over L_opt - E, and the share of compute that it wastes.
  const excess = (a, b, x) =>
    Math.max(b * Math.expm1(-a * x) + a * Math.expm1(b * x), 0) / (a + b);
  const wastedShare = (a, b, x) =>
    -Math.expm1((-Math.log1p(excess(a, b, x)) * (a + b)) / (a * b));

  const deviation = (line, surface, flops, params) => {
    const lnN = Math.log(params);
    const best = pointOf(line, flops);
    const weigh = pointOf(surface, flops);
    const draws = drawsOf(line, flops);
    const spread = (d) => (line.says === "surface" ? d : weigh);
    const extra = (s, x) =>
      Math.expm1(s.k * Math.log1p(excess(s.alpha, s.beta, s.steep * x))) * s.reducible;
    const share = (s, x) => 100 * wastedShare(s.alpha, s.beta, s.steep * x);
    const x = lnN - best.lnN;
    return {
      tokens: countOf(line).length ? tokens(line, flops, params) : flops / (6 * params),
      loss: best.loss + extra(weigh, x),
      extra_loss: estimate(
        extra(weigh, x), Float64Array.from(draws, (d) => extra(spread(d), lnN - d.lnN))),
      wasted_percent: estimate(
        share(weigh, x), Float64Array.from(draws, (d) => share(spread(d), lnN - d.lnN))),
    };
  };

  // Questions, as flopline.questions has them: N as a function of C under a limit, then either the
  // loss of a budget or the least C for a loss.
  const [LEAST_FLOPS, MOST_FLOPS] = [1, 1e40];
  const STEP = Math.log(10) / 2;
  const HALVINGS = 40;

  // ln N that a budget buys with D = e^lnK N^power.
  const onRay = (count, flops, lnK, power) => {
    let lnN = (Math.log(flops / 6) - lnK) / (1 + power);
    for (let step = 0, moved = Infinity; count.length && step < 200 && Math.abs(moved) > 1e-13; step += 1) {
      const { lnC, p, q } = counted(count, lnN, lnK + power * lnN);
      moved = (Math.log(flops) - lnC) / (p + power * q);
      lnN += moved;
    }
    return lnN;
  };

  const lnParams = (best, count, flops, limit, value) => {
    if (limit === "params") return Math.log(value);
    if (limit === "tokens_per_param") return onRay(count, flops, Math.log(value), 1);
    if (limit === "most_params") return Math.min(best.lnN, Math.log(value));
    if (limit === "most_tokens") return Math.max(best.lnN, onRay(count, flops, Math.log(value), 0));
    return best.lnN;
  };

  // One row of a line, its point or a draw, as functions of C; `error` is its share of the misfit.
  const rowOf = (line, columns, weigh, error) => {
    const surface = line.says === "surface";
    const count = columns.slice(surface ? 6 : 7);
    const best = (flops) => said(line, columns, flops);
    const stray = (flops) => (line.misfit && error ? 1 + relativeSd(line, flops) * error : 1);
    const weights = (flops, own) => (surface ? own : weigh(flops));
    const lossAt = (flops, limit, value) => {
      const own = best(flops);
      const lowest = own.loss * (surface ? 1 : stray(flops));
      if (limit === "free") return { own, lnN: own.lnN, loss: lowest };
      const lnN = lnParams(own, count, flops, limit, value);
      if (surface) {
        const [E, lnA, lnB, alpha, beta, k] = columns;
        const lnD = lnTokens(count, flops, lnN);
        const inner = Math.exp(lnA - alpha * lnN) + Math.exp(lnB - beta * lnD);
        return { own, lnN, loss: E + (k === 1 ? inner : inner ** k) };
      }
      const s = weigh(flops);
      const inner = excess(s.alpha, s.beta, s.steep * (lnN - own.lnN));
      return { own, lnN, loss: lowest + Math.expm1(s.k * Math.log1p(inner)) * s.reducible };
    };
    const wasted = (flops, own, lnN) => {
      const s = weights(flops, own);
      return wastedShare(s.alpha, s.beta, s.steep * (lnN - own.lnN));
    };
    return { count, lossAt, wasted };
  };

  // The least C whose loss is low enough, looked for from `start` on; Infinity where there is none.
  const least = (row, loss, limit, value, start) => {
    const above = (lnC) => row.lossAt(Math.exp(lnC), limit, value).loss > loss;
    const [first, last] = [Math.log(LEAST_FLOPS), Math.log(MOST_FLOPS)];
    let low = Number.isFinite(start) ? STEP * Math.floor(Math.log(start) / STEP) : first;
    while (low > first && !above(low)) low = Math.max(first, low - STEP);
    if (!above(low)) return NaN;
    let high = low;
    while (above(high)) {
      if (high >= last) return Infinity;
      low = high;
      high = Math.min(last, high + STEP);
    }
    for (let step = 0; step < HALVINGS; step += 1) {
      const middle = (low + high) / 2;
      if (above(middle)) low = middle;
      else high = middle;
    }
    return Math.exp(high);
  };

  const solved = (line, row, { flops, loss, limit, value }, start) => {
    const c = loss === null ? flops : least(row, loss, limit, value, start.flops);
    if (c === Infinity) {
      const held = (names) => (names.includes(limit) ? value : Infinity);
      return {
        flops: c, params: held(["params", "most_params"]), tokens: held(["most_tokens"]),
        tokens_per_param: NaN, loss: NaN, wasted_percent: NaN,
      };
    }
    const at = row.lossAt(c, limit, value);
    const lnD = limit === "free" ? at.own.lnD : lnTokens(row.count, c, at.lnN);
    let share = 0;
    if (limit !== "free") {
      share = loss === null ? row.wasted(c, at.own, at.lnN) : 1 - least(row, loss, "free", null, start.best) / c;
    }
    return {
      flops: Number.isNaN(at.own.lnN) ? NaN : c, params: Math.exp(at.lnN), tokens: Math.exp(lnD),
      tokens_per_param: Math.exp(lnD - at.lnN), loss: at.loss, wasted_percent: 100 * share,
    };
  };

  // As `estimate`, with draws among them that never reach a loss.
  const estimateOrNever = (point, draws) => {
    const out = { point };
    const known = draws.filter((v) => !Number.isNaN(v)).sort();
    ENDS.forEach((end, k) => {
      const at = (LEVELS[k] / 100) * (known.length - 1);
      const low = Math.floor(at);
      const high = Math.min(low + 1, known.length - 1);
      if (known.length < fewest(draws)) out[end] = NaN;
      else if (at === low || known[low] === known[high]) out[end] = known[low];
      else out[end] = known[low] + (known[high] - known[low]) * (at - low);
    });
    return out;
  };

  // `question` has flops or loss (else null), limit and value; `surface` is that of the family.
  const answer = (line, surface, question) => {
    const seen = new Map();
    const weigh = (flops) => {
      if (!seen.has(flops)) seen.set(flops, pointOf(surface, flops));
      return seen.get(flops);
    };
    const nowhere = { flops: NaN, best: NaN };
    const own = rowOf(line, line.point.map(number), weigh, 0);
    const point = solved(line, own, question, nowhere);
    const best = question.loss === null ? NaN : least(own, question.loss, "free", null, NaN);
    const start = { flops: point.flops, best };
    const rows = Array.from(line.draws[0], (_, i) => {
      const row = rowOf(line, line.draws.map((column) => column[i]), weigh, line.errors ? line.errors[i] : 0);
      return solved(line, row, question, start);
    });
    const out = { never: point.flops === Infinity };
    for (const name of Object.keys(point)) {
      out[name] = estimateOrNever(point[name], Float64Array.from(rows, (row) => row[name]));
    }
    return out;
  };

  return { unpack, pointOf, atBudget, stated, deviation, answer, tokens, countOf };
})();
