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

  // A point with its percentile intervals of the finite draws, as numpy.percentile has them.
  const estimate = (point, draws) => {
    const out = { point };
    const finite = draws.filter(Number.isFinite).sort();
    ENDS.forEach((end, k) => {
      const at = (LEVELS[k] / 100) * (finite.length - 1);
      const low = Math.floor(at);
      const high = Math.min(low + 1, finite.length - 1);
      out[end] = finite.length < 2 ? NaN : finite[low] + (finite[high] - finite[low]) * (at - low);
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

  return { unpack, pointOf, atBudget, deviation, tokens, countOf };
})();
