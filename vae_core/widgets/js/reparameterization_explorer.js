// ReparameterizationExplorer: one draw of noise, two estimators of one gradient.

const REPAR_TRAITS = ["function", "parameter", "mu", "sigma", "epsilon", "seed", "draws"];
const REPAR_REACH = 5; // of the axes of epsilon and z
const REPAR_LINKS = 12; // draws whose way from epsilon to z is shown
const REPAR_HILL = 0.52; // height of z's density as drawn
const REPAR_SHOULDER = REPAR_HILL * Math.exp(-0.5); // where it stands at mu + sigma
const REPAR_BINS = 60;
// The trapezoidal rule on noise from -10 to 10: exact to rounding for the smooth functions here.
const REPAR_GRID = Float64Array.from({ length: 4001 }, (_, k) => -10 + k * 0.005);
const REPAR_WEIGHTS = REPAR_GRID.map((e) => 0.005 * Math.exp(normalLogDensity(e)));

function reparFunctions(steep) {
  const soft = (z) => 1 / (1 + Math.exp(-steep * z));
  return {
    square: { f: (z) => z * z, slope: (z) => 2 * z, y: [-1, 12] },
    sine: { f: (z) => Math.sin(3 * z), slope: (z) => 3 * Math.cos(3 * z), y: [-1.6, 1.6] },
    "soft step": { f: soft, slope: (z) => steep * soft(z) * (1 - soft(z)), y: [-0.35, 1.35] },
    step: { f: (z) => (z > 0 ? 1 : 0), slope: () => 0, y: [-0.35, 1.35] },
  };
}

// P(Z > a) of a standard normal, by the same rule, from a on upwards.
function reparAbove(a) {
  const h = (10 - a) / 4000;
  if (h <= 0) return 0;
  // Simpson's rule: the integrand does not vanish at a.
  let sum = 0;
  for (let k = 0; k <= 4000; k++) {
    sum += (k === 0 || k === 4000 ? 1 : k % 2 ? 4 : 2) * Math.exp(normalLogDensity(a + k * h));
  }
  return sum * h / 3;
}

class ReparExplorer {
  constructor(root, model, undo) {
    const { functions, sigma, reach, limit, steep } = model.get("payload");
    Object.assign(this, { functions, limits: sigma, reach, limit });
    this.known = reparFunctions(steep);
    for (const name of REPAR_TRAITS) this[name] = model.get(name);
    this.theme = THEMES[isDark(root) ? "dark" : "light"];
    this.buildBar(root);
    this.buildCharts(root);
    this.buildTable(root);
    this.say = announcer(root);
    this.traits = traits(model, REPAR_TRAITS, (name, value) => this.pull(name, value));
    undo.push(() => { this.traits.close(); this.charts.forEach((chart) => chart.close()); });
    undo.push(followTheme(root, (theme) => { this.theme = theme; this.charts.forEach((chart) => chart.setTheme(theme)); this.paintTable(); }));
    this.redraw();
    this.refresh();
  }

  // ------------------------------------------------------------ layout

  buildBar(root) {
    const bar = node("div", { className: "vw-bar" }, root);
    this.pickers = {
      function: choice(bar, "Function f", this.functions, this.function, (key) => this.set({ function: key })),
      parameter: choice(bar, "Gradient with respect to", [["mu", "gradient with respect to μ"], ["sigma", "with respect to σ"]], this.parameter, (key) => this.set({ parameter: key })),
    };
    const row = node("div", { className: "vw-bar" }, root);
    for (const count of [1, 100, 1000]) button(row, `Draw ${count}`, () => this.draw(count));
    button(row, "Clear", () => this.set({ draws: 0 }, "draws cleared"));
    button(row, "New seed", () => this.set({ seed: this.seed + 1, draws: 0 }, "new seed"));
    this.count = node("output", { className: "vw-repar-seed" }, row);
  }

  buildCharts(root) {
    const grid = node("div", { className: "vw-repar" }, root);
    const left = node("div", {}, grid), right = node("div", {}, grid);
    const head = (parent, text) => node("p", { className: "vw-title", textContent: text }, parent);
    const x = [-REPAR_REACH, REPAR_REACH];
    head(left, "From noise to latent: z = μ + σε");
    this.axes = new Chart(left, {
      label: "Two parallel axes of one scale: noise above, z below, joined for the latest draws",
      x, y: [-0.15, 1.6], aspect: 0.62, xLabel: "one scale for ε and z", ticks: { y: [[1, "ε"], [0, "z"]] },
      handlers: { draw: (ctx) => this.drawAxes(ctx) },
    });
    this.axes.handle("epsilon", {
      label: "Noise epsilon", axis: "x", color: "fg", mark: "ε", step: [0.05, 0],
      at: () => [this.epsilon, 1], say: () => `epsilon ${fixed(this.epsilon, 2)}`,
      move: ([e], how) => this.set({ epsilon: Math.min(4.5, Math.max(-4.5, e)) }, how === "set" && this.words()),
    });
    this.axes.handle("sigma", {
      label: "Standard deviation sigma", axis: "x", mark: "σ", step: [0.05, 0],
      at: () => [this.mu + this.sigma, REPAR_SHOULDER], say: () => `sigma ${fixed(this.sigma, 2)}`,
      move: ([z], how) => this.set({ sigma: Math.min(this.limits[1], Math.max(this.limits[0], z - this.mu)) }, how === "set" && this.words()),
    });
    this.axes.handle("mu", {
      label: "Mean mu", axis: "x", mark: "μ", step: [0.05, 0],
      at: () => [this.mu, 0], say: () => `mu ${fixed(this.mu, 2)}`,
      move: ([z], how) => this.set({ mu: Math.min(this.reach, Math.max(-this.reach, z)) }, how === "set" && this.words()),
    });
    this.fTitle = head(left, "");
    this.curve = new Chart(left, {
      label: "The function f over z with its tangent at the draw", x, y: [-1, 12], aspect: 0.45, xLabel: "z", yLabel: "f(z)",
      handlers: { draw: (ctx) => this.drawCurve(ctx) },
    });
    const own = (key, text) => {
      head(right, text);
      return new Chart(right, {
        label: text, x: [-1, 1], y: [0, 1], aspect: 0.32, xLabel: "estimate from one draw", yLabel: "share",
        handlers: { draw: (ctx, chart) => this.drawHistogram(ctx, chart, key) },
      });
    };
    this.histograms = { score: own("score", "Score function: f(z) · ∂ log Q(z)"), path: own("path", "Path-wise: f′(z) · ∂z") };
    head(right, "Mean of the draws so far");
    this.running = new Chart(right, {
      label: "Running means of both estimators against the number of draws", x: [1, 1000], y: [-1, 1], xLog: true, aspect: 0.4,
      xLabel: "draws", yLabel: "mean", handlers: { draw: (ctx) => this.drawRunning(ctx) },
    });
    this.charts = [this.axes, this.curve, this.histograms.score, this.histograms.path, this.running];
  }

  buildTable(root) {
    const table = node("table", { className: "vw-repar-table" }, root);
    const head = node("tr", {}, node("thead", {}, table));
    for (const text of ["estimator", "at this ε", "mean", "its error", "spread of one draw"]) node("th", { scope: "col", textContent: text }, head);
    const body = node("tbody", {}, table);
    const row = (name) => {
      const line = node("tr", {}, body);
      const title = node("th", { scope: "row", textContent: name }, line);
      return { title, cells: [0, 1, 2, 3].map(() => node("td", {}, line)) };
    };
    this.rows = { score: row("score function"), path: row("path-wise"), exact: row("exact") };
    this.note = node("p", { className: "vw-repar-note" }, root);
    keysHelp(root, [
      ["drag ε, μ, σ", "move the draw shown, the mean, or the end of one standard deviation"],
      ["Tab, arrows", "take a handle and move it by 0.05; with Shift by 0.5"],
      ["Draw", "the next draws of this seed; they are kept, and moved with μ and σ"],
      ["New seed", "other draws; the same seed gives the same draws each time"],
    ]);
  }

  // ------------------------------------------------------------ numbers

  // Both estimates at one draw of the noise.
  estimate(e) {
    const { mu, sigma } = this, { f, slope } = this.known[this.function], z = mu + sigma * e;
    return this.parameter === "mu"
      ? { score: f(z) * e / sigma, path: slope(z) }
      : { score: f(z) * (e * e - 1) / sigma, path: slope(z) * e };
  }

  // The exact derivative, and the variance of one draw of each estimator.
  theory() {
    let path = 0, pathSquare = 0, scoreSquare = 0;
    REPAR_GRID.forEach((e, k) => {
      const at = this.estimate(e), weight = REPAR_WEIGHTS[k];
      path += weight * at.path;
      pathSquare += weight * at.path ** 2;
      scoreSquare += weight * at.score ** 2;
    });
    let exact = path;
    if (this.function === "step") {
      const { sigma } = this, a = -this.mu / sigma, density = Math.exp(normalLogDensity(a)), above = reparAbove(a);
      exact = this.parameter === "mu" ? density / sigma : a * density / sigma;
      scoreSquare = (this.parameter === "mu" ? above + a * density : 2 * above + (a ** 3 + a) * density) / sigma ** 2;
    }
    return { exact, scoreVariance: scoreSquare - exact ** 2, pathVariance: pathSquare - path ** 2 };
  }

  // The noise of this seed, as far as it is drawn.
  redraw() {
    const source = randomSource(this.seed);
    this.noise = Float64Array.from({ length: this.draws }, () => source.normal());
  }

  compute() {
    this.exactly = this.theory();
    const n = this.draws, sums = { score: 0, path: 0 }, squares = { score: 0, path: 0 };
    this.values = { score: new Float64Array(n), path: new Float64Array(n) };
    this.means = { score: [], path: [] };
    this.counts = [];
    let next = 1;
    for (let i = 0; i < n; i++) {
      const at = this.estimate(this.noise[i]);
      for (const key of ["score", "path"]) {
        this.values[key][i] = at[key];
        sums[key] += at[key];
        squares[key] += at[key] ** 2;
      }
      if (i + 1 < next && i + 1 < n) continue;
      this.counts.push(i + 1);
      for (const key of ["score", "path"]) this.means[key].push(sums[key] / (i + 1));
      next = Math.max(i + 2, (i + 1) * 1.03);
    }
    this.summary = {};
    for (const key of ["score", "path"]) {
      const mean = n ? sums[key] / n : NaN;
      const spread = n > 1 ? Math.sqrt(Math.max(0, squares[key] / n - mean ** 2) * n / (n - 1)) : NaN;
      this.summary[key] = { mean, spread, error: spread / Math.sqrt(n) };
    }
  }

  // ------------------------------------------------------------ drawing

  drawAxes(ctx) {
    const { axes, theme } = this, at = (e) => this.mu + this.sigma * e;
    const xs = axes.places(300), hill = xs.map((e) => 1 + 1.3 * Math.exp(normalLogDensity(e)));
    axes.area(ctx, xs, hill, theme.fg, { base: 1, alpha: 0.1 });
    axes.line(ctx, xs, hill, theme.muted, { width: 1 });
    // Scaled to one height: the area of a density this narrow would leave the picture.
    const own = xs.map((z) => REPAR_HILL * Math.exp(-0.5 * ((z - this.mu) / this.sigma) ** 2));
    axes.area(ctx, xs, own, theme.accent, { alpha: 0.14 });
    axes.line(ctx, xs, own, theme.accent, { width: 1 });
    for (const y of [0, 1]) axes.line(ctx, axes.x, [y, y], theme.muted, { width: 1.5 });
    axes.line(ctx, [this.mu, this.mu + this.sigma], [0, 0], theme.accent, { width: 4 });
    axes.line(ctx, [this.mu + this.sigma, this.mu + this.sigma], [0, REPAR_SHOULDER], theme.accent, { width: 1 });
    const recent = this.noise.subarray(Math.max(0, this.draws - REPAR_LINKS));
    recent.forEach((e, k) => axes.line(ctx, [e, at(e)], [1, 0], theme.fg, { width: 1, alpha: 0.12 + 0.3 * k / REPAR_LINKS }));
    axes.dots(ctx, [...recent].map(at), recent.map(() => 0), theme.fg, { radius: 2.5, alpha: 0.5 });
    axes.line(ctx, [this.epsilon, at(this.epsilon)], [1, 0], theme.fg, { width: 2.5 });
    axes.dots(ctx, [at(this.epsilon)], [0], theme.fg, { radius: 5 });
  }

  drawCurve(ctx) {
    const { curve, theme } = this, { f, slope } = this.known[this.function], z = this.mu + this.sigma * this.epsilon;
    const xs = curve.places(800);
    curve.line(ctx, xs, xs.map(f), theme.fg, { width: 1.8 });
    const reach = 0.9, rise = slope(z) * reach;
    curve.line(ctx, [z - reach, z + reach], [f(z) - rise, f(z) + rise], theme.classes[0], { width: 2.5 });
    curve.line(ctx, [z, z], [0, f(z)], theme.classes[1], { width: 2.5 });
    curve.rule(ctx, "x", this.mu, theme.accent, { width: 1, text: "μ" });
    curve.dots(ctx, [z], [f(z)], theme.fg, { radius: 5 });
  }

  drawHistogram(ctx, chart, key) {
    const { theme, exactly } = this;
    chart.bars(ctx, this.edges, this.shares[key], theme.classes[key === "score" ? 1 : 0], { alpha: 0.6 });
    chart.rule(ctx, "x", exactly.exact, theme.fg, { dash: [], text: "exact" });
    if (this.draws) chart.rule(ctx, "x", this.summary[key].mean, theme.classes[key === "score" ? 1 : 0], { width: 2 });
  }

  drawRunning(ctx) {
    const { running, theme } = this;
    running.rule(ctx, "y", this.exactly.exact, theme.fg, { dash: [], text: "exact" });
    running.line(ctx, this.counts, this.means.score, theme.classes[1]);
    running.line(ctx, this.counts, this.means.path, theme.classes[0]);
    // One draw makes no line yet.
    if (this.draws === 1) ["path", "score"].forEach((key, k) => running.dots(ctx, [1], this.means[key], theme.classes[k], { radius: 4 }));
  }

  refresh() {
    this.compute();
    const { exact, scoreVariance, pathVariance } = this.exactly;
    const half = 4 * Math.sqrt(Math.max(scoreVariance, pathVariance, 1e-6));
    this.edges = Array.from({ length: REPAR_BINS + 1 }, (_, k) => exact + half * (2 * k / REPAR_BINS - 1));
    this.shares = {};
    for (const key of ["score", "path"]) {
      const share = new Array(REPAR_BINS).fill(0);
      for (const v of this.values[key]) {
        const bin = Math.floor((v - this.edges[0]) / (2 * half) * REPAR_BINS);
        if (bin >= 0 && bin < REPAR_BINS) share[bin] += 1 / this.draws;
      }
      this.shares[key] = share;
      this.histograms[key].setRange([this.edges[0], this.edges[REPAR_BINS]], [0, 1.08 * Math.max(0.1, ...share)]);
    }
    this.running.setRange([1, Math.max(10, this.draws)], [exact - half / 6, exact + half / 6]);
    this.curve.setRange(null, this.known[this.function].y);
    this.axes.redraw();
    this.fTitle.textContent = `f(z) = ${this.functions.find(([name]) => name === this.function)[1]}: its height (orange), its slope (blue)`;
    this.count.textContent = `seed ${this.seed}, ${this.draws} draw${this.draws === 1 ? "" : "s"}${this.draws === this.limit ? ", the most" : ""}`;
    this.paintTable();
  }

  paintTable() {
    if (!this.summary) return;
    const { theme, rows, exactly } = this, here = this.estimate(this.epsilon);
    const show = (v) => (Number.isFinite(v) ? fixed(v, Math.abs(v) >= 100 ? 1 : 3) : "–");
    const truth = { score: exactly.scoreVariance, path: exactly.pathVariance };
    for (const key of ["score", "path"]) {
      const { mean, error } = this.summary[key];
      rows[key].title.style.setProperty("--vw-own", theme.classes[key === "score" ? 1 : 0]);
      [here[key], mean, error, Math.sqrt(Math.max(0, truth[key]))].forEach((v, k) => { rows[key].cells[k].textContent = show(v); });
    }
    rows.exact.cells.forEach((cell, k) => { cell.textContent = k === 1 ? show(exactly.exact) : ""; });
    const ratio = truth.score / truth.path;
    this.note.textContent = this.function === "step"
      ? "A step has slope 0 wherever it has a slope: the path-wise estimate is 0 at every draw, without any spread, and wrong."
      : `Variance of one draw, score function over path-wise: ${ratio >= 100 ? fixed(ratio, 0) : fixed(ratio, 2)}.`
        + (ratio < 1 ? " Here the score function is the better of the two." : "");
  }

  // ------------------------------------------------------------ acting

  words() {
    const here = this.estimate(this.epsilon);
    return `z ${fixed(this.mu + this.sigma * this.epsilon, 2)}, score function ${fixed(here.score, 2)}, path-wise ${fixed(here.path, 2)}, exact ${fixed(this.exactly.exact, 2)}`;
  }

  set(values, words = "") {
    Object.assign(this, values);
    if ("draws" in values || "seed" in values) this.redraw();
    this.refresh();
    this.traits.push(values);
    if (words) this.say(words);
  }

  draw(count) {
    const before = this.draws;
    this.draws = Math.min(this.limit, before + count);
    if (this.draws === before) { this.say(`no more than ${this.limit} draws`); return; }
    this.redraw();
    this.set({ draws: this.draws, epsilon: this.noise[this.draws - 1] });
    this.say(`${this.draws} draws, score function mean ${fixed(this.summary.score.mean, 2)}, path-wise mean ${fixed(this.summary.path.mean, 2)}, exact ${fixed(this.exactly.exact, 2)}`);
  }

  // A trait set in Python.
  pull(name, value) {
    this[name] = value;
    const group = this.pickers[name];
    if (group) {
      const keys = name === "function" ? this.functions.map(([key]) => key) : ["mu", "sigma"];
      [...group.children].forEach((each, k) => each.setOn(keys[k] === value));
    }
    if (name === "draws" || name === "seed") this.redraw();
    this.refresh();
  }
}

function render({ model, el }) {
  return frame(model, el, "Reparameterization explorer", async (root, undo) => {
    const explorer = new ReparExplorer(root, model, undo);
    // For tests and the curious: what the page computes, callable from the console.
    root.parentElement.__vae = {
      explorer,
      state: () => ({
        ...Object.fromEntries(REPAR_TRAITS.map((name) => [name, explorer[name]])),
        z: explorer.mu + explorer.sigma * explorer.epsilon, here: explorer.estimate(explorer.epsilon),
        noise: Array.from(explorer.noise), score: Array.from(explorer.values.score), path: Array.from(explorer.values.path),
        ...explorer.exactly, summary: explorer.summary,
      }),
    };
  });
}

export default { render };
