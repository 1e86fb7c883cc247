// SamplingExplorer: many independent estimates of one log P(X) that is known exactly, in 1 to 20
// dimensions, by draws of the prior or of a Q near the posterior.

const SHELL_REACH = 8, SHELL_BINS = 40; // distances from the posterior's middle, and their bins
const FAN_MARKS = 240; // places of a running estimate that are drawn

const grouped = (count) => String(Math.round(count)).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
const superscript = (power) => [...String(power)].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("");
// A count as people write it: two digits of a small one, a power of ten of a large one.
const counted = (value) => {
  if (!Number.isFinite(value)) return "∞";
  if (value < 9.95) return fixed(value, 1);
  if (value < 99_500) return grouped(Number(value.toPrecision(2)));
  const [digits, power] = value.toExponential(1).split("e+");
  return `${digits} × 10${superscript(power)}`;
};

// X = z + noise in each of d dimensions, z ~ N(0, 1), X of typical size: all that is known of it.
function blurredCode(d, sigma) {
  const total = Math.sqrt(1 + sigma ** 2); // standard deviation of X, and X itself
  return {
    x: total, mean: 1 / total, spread: sigma / total,
    exact: d * normalLogDensity(total, 0, total),
  };
}

// The density that z is drawn from, alike in every dimension: mean and standard deviation.
function drawnFrom({ mean, spread }, proposal, width, miss) {
  return proposal === "prior" ? { a: 0, b: 1 } : { a: mean + miss * spread, b: width * spread };
}

// 𝒟[P(z|X) ‖ q] in nats and ρ, the second moment of the weights over P(X)² (∞ for a narrow q).
function hardness(d, { mean, spread }, { a, b }) {
  const c = b / spread, shift = (a - mean) / spread, excess = 2 * c * c - 1;
  const divergence = d * (Math.log(c) + (1 + shift * shift) / (2 * c * c) - 0.5);
  const factor = excess > 0 ? (1 + excess) / (2 * Math.sqrt(excess)) * Math.exp(shift * shift / excess) : Infinity;
  return { divergence, rho: factor ** d };
}

// Noise for every run and draw, one dimension after the other, as they are asked for; of each draw
// only the sum and the sum of squares over its dimensions matter.
class Noise {
  constructor(seed, count) {
    this.source = randomSource(seed);
    this.count = count;
    this.rows = [];
    this.sum = new Float64Array(count);
    this.square = new Float64Array(count);
    this.d = 0;
  }

  to(d) {
    while (this.rows.length < d) {
      const row = new Float32Array(this.count), { uniform } = this.source;
      // Box and Muller's pairs: both of them, for there are millions.
      for (let i = 0; i < row.length; i += 2) {
        const radius = Math.sqrt(-2 * Math.log(1 - uniform())), turn = 2 * Math.PI * uniform();
        row[i] = radius * Math.cos(turn);
        row[i + 1] = radius * Math.sin(turn);
      }
      this.rows.push(row);
    }
    if (d < this.d) {
      this.sum.fill(0);
      this.square.fill(0);
      this.d = 0;
    }
    for (; this.d < d; this.d++) {
      const row = this.rows[this.d], { sum, square } = this;
      for (let i = 0; i < row.length; i++) { sum[i] += row[i]; square[i] += row[i] * row[i]; }
    }
  }
}

class SamplingBench {
  constructor(root, model, undo) {
    this.root = root;
    Object.assign(this, model.get("payload")); // runs, most, largest, sigmas, widths, miss
    this.names = ["d", "sigma", "n", "proposal", "width", "run", "seed"];
    this.names.forEach((name) => { this[name] = model.get(name); });
    this.theme = THEMES[isDark(root) ? "dark" : "light"];
    this.marks = [...new Set(Array.from({ length: FAN_MARKS }, (_, k) => Math.round(this.most ** (k / (FAN_MARKS - 1)))))];
    this.buildBar();
    this.buildCharts();
    this.numbers = readout(root, [
      ["exact", "log P(X)", "exact, by its formula"],
      ["error", "mean error of the runs", "of their estimates of log P(X), after n draws"],
      ["below", "runs that are too low"],
      ["effective", "effective sample size", "(sum of weights)² / (sum of squared weights), the median of the runs"],
      ["divergence", "𝒟[P(z|X) ‖ q]", "q is what z is drawn from"],
      ["needed", "e to the 𝒟", "about as many draws it takes, on the scale of exponents"],
    ]);
    this.verdict = node("p", { className: "vw-note vw-verdict" }, root);
    this.buildHelp();
    this.say = announcer(root);
    this.traits = traits(model, this.names, (name, value) => { this[name] = value; this.refresh(); });
    undo.push(() => { this.traits.close(); this.charts.forEach((chart) => chart.close()); });
    undo.push(followTheme(root, (theme) => { this.theme = theme; this.charts.forEach((chart) => chart.setTheme(theme)); }));
    this.refresh();
  }

  // ------------------------------------------------------------ layout

  buildBar() {
    const bar = node("div", { className: "vw-bar" }, this.root), sliders = node("div", { className: "vw-sampling-sliders" }, this.root);
    this.from = choice(bar, "Draw z from", [["prior", "z from P(z)"], ["posterior", "z from Q(z|X)"]], this.proposal, (proposal) => this.set({ proposal }));
    button(bar, "New draws", () => this.set({ seed: (this.seed + 1) % 2 ** 31 }), { title: "Draw all runs again" });
    button(bar, "Next run", () => this.set({ run: (this.run + 1) % this.runs }), { title: "Bring out another of the runs" });
    const log = (range, step) => ({ min: Math.log2(range[0]), max: Math.log2(range[1]), step });
    this.sliders = {
      d: labelled(sliders, "dimensions d", { min: 1, max: this.largest, step: 1, value: this.d, format: (v) => fixed(v, 0) }, (d) => this.set({ d })),
      sigma: labelled(sliders, "noise σ", { ...log(this.sigmas, 0.125), value: Math.log2(this.sigma), format: (v) => fixed(2 ** v, 2) }, (v) => this.set({ sigma: 2 ** v })),
      width: labelled(sliders, "width of Q", { ...log(this.widths, 0.0625), value: Math.log2(this.width), format: (v) => `${fixed(2 ** v, 2)} ×` }, (v) => this.set({ width: 2 ** v })),
    };
    this.sliders.width.row.title = "Its standard deviation, in the posterior’s";
  }

  buildCharts() {
    const body = node("div", { className: "vw-sampling-body" }, this.root);
    const panel = (title) => {
      const box = node("div", { className: "vw-panel" }, body);
      node("div", { className: "vw-title", textContent: title }, box);
      return box;
    };
    const left = panel(`${this.runs} independent estimates of log P(X)`);
    this.fan = new Chart(left, {
      label: "Running estimates", x: [1, this.most], y: [-20, 6], xLog: true, aspect: 0.72,
      xLabel: "draws n", yLabel: "nats from log P(X)", ticks: { x: [1, 10, 100, 1000, 10_000].map((n) => [n, grouped(n)]) },
      handlers: { draw: (ctx, chart) => this.drawFan(ctx, chart), point: (at, how) => { if (at && how === "set") this.pick(at); } },
    });
    this.fan.handle("n", {
      label: "Number of draws", axis: "x", color: "var(--vw-class-1)",
      at: () => [this.n, this.errors?.[this.run] ?? 0],
      move: ([n]) => this.set({ n: Math.round(Math.min(this.most, Math.max(1, n))) }),
      say: () => `${grouped(this.n)} draws, mean error ${fixed(this.meanError, 1)} nats`,
    });
    this.keys(left, [["one run", "var(--vw-class-1)"], ["the others", "var(--vw-muted)"], ["log P(X), exact", "var(--vw-accent)", true], ["e to the 𝒟 draws", "var(--vw-class-4)", true]]);
    const right = panel("One run: its draws, and those that count");
    this.shell = new Chart(right, {
      label: "Distances", x: [0, SHELL_REACH], y: [0, 1], aspect: 0.72,
      xLabel: "distance from the middle of P(z|X)", yLabel: "share",
      handlers: { draw: (ctx, chart) => this.drawShell(ctx, chart) },
    });
    this.keys(right, [["of the draws", "var(--vw-muted)"], ["of their sum", "var(--vw-class-1)"], ["P(z|X), exact", "var(--vw-class-2)"]]);
    this.charts = [this.fan, this.shell];
  }

  keys(parent, rows) {
    const bar = node("div", { className: "vw-sampling-keys" }, parent);
    for (const [text, color, dash] of rows) {
      const entry = node("span", { className: "vw-key", textContent: text, style: `--vw-swatch: ${color}` }, bar);
      if (dash) entry.dataset.dash = "";
    }
  }

  buildHelp() {
    const details = keysHelp(this.root, [
      ["dot, or arrows on it", "the number of draws n that the numbers are about"],
      ["click in the left chart", "bring out the run that passes there"],
      ["Tab", "to a slider, a button or the dot"],
    ], "The model, keys and gestures");
    node("p", {
      className: "vw-note",
      textContent: "X = z + noise of standard deviation σ in each of d dimensions, z ~ N(0, I), and every coordinate of X has its typical size √(1 + σ²). "
        + `P(X), the posterior and 𝒟 are known by formulas. Q misses the posterior’s mean by ${this.miss} of its standard deviations in each dimension. `
        + "The left chart always shows the same 26 nats around log P(X). On the right, distances are in the posterior’s standard deviations, a root mean square over the dimensions; "
        + `what lies beyond ${SHELL_REACH} is counted in the last bar. Where the orange bars have the shape of the green curve, the estimate rests on draws of the whole posterior.`,
    }, details);
  }

  // ------------------------------------------------------------ numbers

  compute() {
    const { runs, most, d, n } = this;
    if (this.noise?.seed !== this.seed) this.noise = Object.assign(new Noise(this.seed, runs * most), { seed: this.seed });
    this.noise.to(d);
    const known = blurredCode(d, this.sigma), q = drawnFrom(known, this.proposal, this.width, this.miss);
    Object.assign(this, { known, q, hard: hardness(d, known, q) });
    // log P(X|z) + log P(z) − log q(z) at z = a + b e, as a polynomial in e, less log P(X).
    const { a, b } = q, variance = this.sigma ** 2, left = known.x - a;
    const one = d * (normalLogDensity(left, 0, this.sigma) - 0.5 * a * a + Math.log(b)) - known.exact;
    const slope = b * left / variance - a * b, curve = 0.5 * (1 - b * b / variance - b * b);
    const { sum, square } = this.noise;
    this.logWeight = (i) => one + slope * sum[i] + curve * square[i];
    this.lines = [];
    this.errors = new Float64Array(runs);
    this.effective = new Float64Array(runs);
    for (let run = 0; run < runs; run++) this.lines.push(this.follow(run));
    this.meanError = this.errors.reduce((total, error) => total + error / runs, 0);
    this.below = this.errors.filter((error) => error < 0).length;
    this.measureShell();
  }

  // One run's error at the marks, and what is known of it after n draws.
  follow(run) {
    const { most, n, marks } = this, line = new Float64Array(marks.length);
    let top = -Infinity, sum = 0, squares = 0, next = 0;
    for (let i = 0, at = run * most; i < most; i++, at++) {
      const log = this.logWeight(at);
      if (log > top) {
        const shrink = Math.exp(top - log);
        sum = sum * shrink + 1;
        squares = squares * shrink * shrink + 1;
        top = log;
      } else {
        const w = Math.exp(log - top);
        sum += w;
        squares += w * w;
      }
      if (i + 1 === marks[next]) line[next++] = top + Math.log(sum / (i + 1));
      if (i + 1 === n) {
        this.errors[run] = top + Math.log(sum / n);
        this.effective[run] = sum * sum / squares;
      }
    }
    return line;
  }

  // Shares of the run's draws, and of the sum of its weights, by distance from the posterior's mean.
  measureShell() {
    const { d, n, run, most, noise, known, q } = this, { a, b } = q, shift = a - known.mean;
    const total = this.errors[run] + Math.log(n);
    this.drawn = new Float64Array(SHELL_BINS);
    this.carried = new Float64Array(SHELL_BINS);
    this.largest_share = 0;
    for (let i = run * most; i < run * most + n; i++) {
      const squared = shift * shift + (2 * shift * b * noise.sum[i] + b * b * noise.square[i]) / d;
      const bin = Math.min(SHELL_BINS - 1, Math.floor(Math.sqrt(Math.max(0, squared)) / known.spread / SHELL_REACH * SHELL_BINS));
      const share = Math.exp(this.logWeight(i) - total);
      this.drawn[bin] += 1 / n;
      this.carried[bin] += share;
      this.largest_share = Math.max(this.largest_share, share);
    }
  }

  // Density of the distance under the posterior: χ with d degrees of freedom, over √d.
  shellDensity(r) {
    const { d } = this, y = r * Math.sqrt(d);
    let logGamma = d % 2 ? 0.5 * Math.log(Math.PI) : 0; // log Γ(½) or log Γ(1)
    for (let k = d % 2 ? 0.5 : 1; k < d / 2; k++) logGamma += Math.log(k);
    return Math.sqrt(d) * Math.exp((d - 1) * Math.log(y) - y * y / 2 - (d / 2 - 1) * Math.LN2 - logGamma);
  }

  // ------------------------------------------------------------ drawing

  drawFan(ctx, chart) {
    const { theme, marks, lines, run, hard } = this, { left, top, width, height } = chart.inner;
    lines.forEach((line, k) => { if (k !== run) chart.line(ctx, marks, line, theme.muted, { width: 1, alpha: 0.55 }); });
    chart.rule(ctx, "y", 0, theme.accent, { width: 2, dash: [7, 4] });
    const needed = Math.exp(hard.divergence);
    if (needed <= this.most) chart.rule(ctx, "x", needed, theme.classes[4], { dash: [3, 3] });
    chart.rule(ctx, "x", this.n, theme.fg, { width: 1, dash: [] });
    chart.line(ctx, marks, lines[run], theme.classes[1], { width: 2.5 });
    ctx.textAlign = "left";
    ctx.textBaseline = "bottom";
    chart.text(ctx, "log P(X)", left + 5, chart.py(0) - 3, theme.accent);
    if (needed > this.most) {
      ctx.textAlign = "right";
      ctx.textBaseline = "top";
      chart.text(ctx, `${counted(needed)} draws →`, left + width - 4, top + 4, theme.classes[4]);
    }
    const out = this.errors.filter((error) => error < chart.y[0]).length;
    if (out) {
      ctx.textAlign = "left";
      ctx.textBaseline = "bottom";
      chart.text(ctx, `↓ ${out} of ${this.runs} end below the picture`, left + 5, top + height - 4, theme.classes[3]);
    }
  }

  drawShell(ctx, chart) {
    const { theme } = this, edges = Array.from({ length: SHELL_BINS + 1 }, (_, k) => k * SHELL_REACH / SHELL_BINS);
    chart.bars(ctx, edges, this.drawn, theme.muted, { alpha: 0.5 });
    chart.bars(ctx, edges, this.carried, theme.classes[1], { alpha: 0.65 });
    const rs = chart.places(400).slice(1);
    chart.line(ctx, rs, rs.map((r) => this.shellDensity(r) * SHELL_REACH / SHELL_BINS), theme.classes[2]);
  }

  // ------------------------------------------------------------ acting

  refresh(tell = false) {
    this.compute();
    const { d, n, runs, below, hard, meanError, proposal } = this, needed = Math.exp(hard.divergence);
    this.sliders.d.show(d);
    this.sliders.sigma.show(Math.log2(this.sigma));
    this.sliders.width.show(Math.log2(this.width));
    this.sliders.width.input.disabled = proposal === "prior";
    [...this.from.children].forEach((each, k) => each.setOn((k === 0) === (proposal === "prior")));
    const middle = [...this.effective].sort((a, b) => a - b), half = runs / 2;
    this.medianEffective = (middle[Math.ceil(half) - 1] + middle[Math.floor(half)]) / 2;
    this.numbers.set({
      exact: `${fixed(this.known.exact, 2)} nats`, error: `${fixed(meanError, meanError > -0.95 && meanError < 0.95 ? 2 : 1)} nats`,
      below: `${below} of ${runs}`, effective: `${counted(this.medianEffective)} of ${grouped(n)}`,
      divergence: `${fixed(hard.divergence, 1)} nats`, needed: counted(needed),
    });
    const source = proposal === "prior" ? "P(z)" : "Q(z|X)";
    this.verdict.textContent = `After ${grouped(n)} draws of ${source} in ${d} dimension${d === 1 ? "" : "s"}, ${below} of ${runs} runs are below log P(X). `
      + (needed > n
        ? `The rule of e to the 𝒟 asks for about ${counted(needed)} draws, ${counted(needed / n)} times as many as were made.`
        : `The rule of e to the 𝒟 asks for about ${counted(needed)}; ${counted(n / needed)} times as many were made.`)
      + (Number.isFinite(hard.rho) ? "" : " This Q is so narrow that its weights have an infinite variance: an effective sample size computed from the draws can be far too good.");
    this.fan.describe(`Running estimates of log P(X) by ${runs} runs against the number of draws: after ${grouped(n)}, ${below} of them are too low, and the mean error is ${fixed(meanError, 1)} nats`);
    this.shell.describe(`Of one run of ${grouped(n)} draws: shares of draws and of the sum by distance from the posterior’s mean; the largest draw is ${fixed(100 * this.largest_share, 0)} % of the sum`);
    this.charts.forEach((chart) => chart.redraw());
    if (tell) this.say(`${d} dimension${d === 1 ? "" : "s"}, ${grouped(n)} draws of ${source}: ${below} of ${runs} runs too low, mean error ${fixed(meanError, 1)} nats`);
  }

  set(values) {
    if (Object.entries(values).every(([name, value]) => this[name] === value)) return;
    Object.assign(this, values);
    this.traits.push(values);
    this.refresh(true);
  }

  // The run whose line passes nearest to a place in the left chart.
  pick([n, error]) {
    const mark = this.marks.reduce((best, each, k) => (Math.abs(Math.log(each / n)) < Math.abs(Math.log(this.marks[best] / n)) ? k : best), 0);
    const gaps = this.lines.map((line) => Math.abs(line[mark] - error));
    this.set({ run: gaps.indexOf(Math.min(...gaps)) });
  }
}

function render({ model, el }) {
  return frame(model, el, "Sampling explorer", async (root, undo) => {
    const bench = new SamplingBench(root, model, undo);
    // For tests and the curious: what the page computes, callable from the console.
    root.parentElement.__vae = {
      bench,
      state: () => ({
        ...Object.fromEntries(bench.names.map((name) => [name, bench[name]])),
        exact: bench.known.exact, divergence: bench.hard.divergence, rho: bench.hard.rho,
        errors: Array.from(bench.errors), effective: Array.from(bench.effective), below: bench.below,
        largest_share: bench.largest_share, drawn: Array.from(bench.drawn), carried: Array.from(bench.carried),
      }),
      // A run's error after each of these numbers of draws; a density of the right chart.
      line: (run) => bench.marks.map((n, k) => [n, bench.lines[run][k]]),
      density: (r) => bench.shellDensity(r),
    };
  });
}

export default { render };
