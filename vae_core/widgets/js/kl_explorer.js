// KLExplorer: a Gaussian Q to drag, and its divergence as an area, a formula and a curve.

const KL_NAMES = { reverse: "D[Q‖P]", forward: "D[P‖Q]" };
const PRINTED_LOWEST = Math.SQRT1_2; // the σ at which the printed formula is smallest

const klToPrior = (mu, sigma) => (sigma * sigma + mu * mu - 1) / 2 - Math.log(sigma);
const klPrinted = (mu, sigma) => sigma * sigma + mu * mu - Math.log(sigma) - 0.5;

// The trapezoidal rule at equal steps: for a smooth integrand that vanishes at both ends its error
// is far below what can be shown.
function klTrapezoid(f, low, high, steps) {
  const h = (high - low) / steps;
  let sum = (f(low) + f(high)) / 2;
  for (let k = 1; k < steps; k++) sum += f(low + k * h);
  return sum * h;
}

class TwoPeaks {
  constructor({ weights, means, sigmas }) {
    Object.assign(this, { weights, means, sigmas });
    this.mean = weights.reduce((sum, w, k) => sum + w * means[k], 0);
    this.variance = weights.reduce((sum, w, k) => sum + w * (sigmas[k] ** 2 + (means[k] - this.mean) ** 2), 0);
    const reach = Math.max(...means.map((m, k) => Math.abs(m) + 12 * sigmas[k]));
    this.negativeEntropy = klTrapezoid((z) => {
      const log = this.logDensity(z);
      return Math.exp(log) * log;
    }, -reach, reach, 4000);
  }

  logDensity(z) {
    const [a, b] = this.weights.map((w, k) => Math.log(w) + normalLogDensity(z, this.means[k], this.sigmas[k]));
    const most = Math.max(a, b);
    return most + Math.log(Math.exp(a - most) + Math.exp(b - most));
  }

  // D[P‖Q]: all but the entropy of P is in its mean and variance.
  forward(mu, sigma) {
    const spread = this.variance + (this.mean - mu) ** 2;
    return this.negativeEntropy + spread / (2 * sigma * sigma) + Math.log(sigma) + 0.5 * LOG_2PI;
  }

  // D[Q‖P], by quadrature over u = (z - μ)/σ.
  reverse(mu, sigma, steps = 2400) {
    return klTrapezoid((u) => {
      const log = normalLogDensity(u);
      return Math.exp(log) * (log - Math.log(sigma) - this.logDensity(mu + sigma * u));
    }, -12, 12, steps);
  }
}

class KLBench {
  constructor(root, model, undo) {
    this.root = root;
    this.model = model;
    const { reach, sigmas, target, optima } = model.get("payload");
    Object.assign(this, { reach, sigmas, optima, peaks: new TwoPeaks(target) });
    for (const name of ["mu", "sigma", "mode", "direction"]) this[name] = model.get(name);
    this.half = 5;
    this.buildBars();
    const grid = node("div", { className: "vw-kl" }, root);
    const left = node("div", { className: "vw-kl-stack" }, grid), right = node("div", {}, grid);
    this.buildCharts(left, right);
    this.buildHelp();
    this.say = announcer(root);
    this.traits = traits(model, ["mu", "sigma", "mode", "direction"], (name, value) => this.pull(name, value));
    const charts = [this.density, this.ratio, this.area, this.curve];
    this.charts = charts;
    undo.push(() => { this.traits.close(); charts.forEach((chart) => chart.close()); });
    undo.push(followTheme(root, (theme) => { this.theme = theme; charts.forEach((chart) => chart.setTheme(theme)); }));
    this.showMode();
    this.changed("set");
  }

  // ------------------------------------------------------------ layout

  buildBars() {
    const bar = node("div", { className: "vw-bar" }, this.root);
    this.modes = choice(bar, "What Q is compared with", [["prior", "Q and N(0, 1)"], ["peaks", "Q and two peaks"]],
      this.mode, (mode) => { this.setMode(mode); });
    this.directions = choice(bar, "Direction of the divergence", Object.entries(KL_NAMES),
      this.direction, (direction) => { this.setDirection(direction); });
    this.second = node("div", { className: "vw-bar" }, this.root);
    const { forward, reverse } = this.optima;
    this.goals = {
      prior: [
        button(this.second, "Lowest divergence", () => this.go(0, 1)),
        button(this.second, "Lowest printed formula", () => this.go(0, PRINTED_LOWEST)),
      ],
      peaks: [
        button(this.second, "Lowest D[Q‖P]", () => { this.setDirection("reverse"); this.go(...reverse[0]); }),
        button(this.second, "Its other valley", () => { this.setDirection("reverse"); this.go(...reverse[1]); }),
        button(this.second, "Lowest D[P‖Q]", () => { this.setDirection("forward"); this.go(...forward); }),
      ],
    };
    this.numbers = readout(this.root, [
      ["q", "Q"],
      ["formula", "divergence", "in nats, by the formula (against N(0, 1)) or by integration"],
      ["area", "area, summed", "the integrand, added up numerically over the whole line"],
      ["other", "printed formula", ""],
    ]);
  }

  buildCharts(left, right) {
    const x = [-5, 5], caption = (parent, text) => node("p", { className: "vw-kl-caption", textContent: text }, parent);
    this.heads = { density: caption(left, "") };
    this.density = new Chart(left, {
      label: "Densities", x, y: [0, 0.9], yLabel: "density", aspect: 0.44,
      handlers: { draw: (ctx, chart) => this.drawDensity(ctx, chart) },
    });
    this.heads.ratio = caption(left, "");
    this.ratio = new Chart(left, {
      label: "Log ratio", x, y: [-2, 2], yLabel: "nats", aspect: 0.4,
      handlers: { draw: (ctx, chart) => this.drawRatio(ctx, chart) },
    });
    this.heads.area = caption(left, "");
    this.area = new Chart(left, {
      label: "Integrand", x, y: [-0.2, 0.5], xLabel: "z", yLabel: "nats per unit of z", aspect: 0.38,
      handlers: { draw: (ctx, chart) => this.drawArea(ctx, chart) },
    });
    this.heads.curve = caption(right, "");
    this.curve = new Chart(right, {
      label: "Divergence", x: [0, this.sigmas[1]], y: [0, 3], xLabel: "σ", yLabel: "nats", aspect: 0.9,
      handlers: { draw: (ctx, chart) => this.drawCurve(ctx, chart) },
    });
    this.legend = node("div", { className: "vw-bar" }, right);
    const q = (z) => Math.exp(normalLogDensity(z, this.mu, this.sigma));
    const step = [0.02, 0];
    this.density.handle("mu", {
      label: "Mean of Q", mark: "μ", axis: "x", step, color: "accent", say: () => `μ ${fixed(this.mu, 2)}`,
      at: () => [this.mu, q(this.mu)], move: ([at], how) => this.set({ mu: at }, how),
    });
    this.density.handle("sigma", {
      label: "Standard deviation of Q", mark: "σ", axis: "x", step, color: "accent", say: () => `σ ${fixed(this.sigma, 2)}`,
      at: () => [this.mu + this.sigma, q(this.mu + this.sigma)],
      move: ([at], how) => this.set({ sigma: at - this.mu }, how),
    });
    this.note = node("p", { className: "vw-note" }, right);
  }

  buildHelp() {
    keysHelp(this.root, [
      ["drag", "μ moves Q, σ widens it; the dot on the curve moves along it"],
      ["Tab", "go to a handle"],
      ["arrows", "move the handle; with Shift ten times as far"],
    ]);
  }

  // ------------------------------------------------------------ numbers

  logQ(z) { return normalLogDensity(z, this.mu, this.sigma); }
  logP(z) { return this.mode === "prior" ? normalLogDensity(z) : this.peaks.logDensity(z); }
  get isForward() { return this.mode === "peaks" && this.direction === "forward"; }
  get name() { return this.mode === "prior" ? "D[Q‖N(0, 1)]" : KL_NAMES[this.direction]; }

  // The density that is averaged over, and the log ratio whose mean is the divergence.
  logWeight(z) { return this.isForward ? this.logP(z) : this.logQ(z); }
  logRatio(z) { return (this.isForward ? -1 : 1) * (this.logQ(z) - this.logP(z)); }
  integrand(z) { return Math.exp(this.logWeight(z)) * this.logRatio(z); }

  divergence(mu = this.mu, sigma = this.sigma, direction = this.direction, steps = undefined) {
    if (this.mode === "prior") return klToPrior(mu, sigma);
    return direction === "forward" ? this.peaks.forward(mu, sigma) : this.peaks.reverse(mu, sigma, steps);
  }

  summedArea() {
    if (this.isForward) return klTrapezoid((z) => this.integrand(z), -12, 12, 4000);
    return klTrapezoid((z) => this.integrand(z), this.mu - 12 * this.sigma, this.mu + 12 * this.sigma, 2400);
  }

  // ------------------------------------------------------------ acting

  set(values, how) {
    if ("mu" in values) this.mu = Math.min(this.reach, Math.max(-this.reach, values.mu));
    if ("sigma" in values) this.sigma = Math.min(this.sigmas[1], Math.max(this.sigmas[0], values.sigma));
    this.traits.push({ mu: this.mu, sigma: this.sigma });
    this.changed(how);
  }

  go(mu, sigma) { this.set({ mu, sigma }, "set"); }

  setMode(mode) {
    this.mode = mode;
    this.traits.push({ mode });
    this.showMode();
    this.changed("set");
  }

  setDirection(direction) {
    this.direction = direction;
    this.traits.push({ direction });
    this.showMode();
    this.changed("set");
  }

  press(group, keys, key) { [...group.children].forEach((each, k) => each.setOn(keys[k] === key)); }

  showMode() {
    const prior = this.mode === "prior", { curve, heads } = this;
    this.press(this.modes, ["prior", "peaks"], this.mode);
    this.press(this.directions, Object.keys(KL_NAMES), this.direction);
    this.directions.hidden = prior;
    for (const [mode, buttons] of Object.entries(this.goals)) buttons.forEach((each) => { each.hidden = mode !== this.mode; });
    const over = this.isForward ? "P" : "Q", ratio = this.isForward ? "log P(z)/Q(z)" : "log Q(z)/P(z)";
    heads.density.textContent = prior ? "Q(z) and the prior P(z) = N(0, 1)" : "Q(z) and a target P(z) of two peaks";
    heads.ratio.textContent = `The log ratio, ${ratio}; bold where ${over} has its mass`;
    heads.area.textContent = `${over}(z) times the log ratio: the area is ${this.name}`;
    heads.curve.textContent = prior ? "Both formulas as functions of σ, at this μ" : "Both divergences as functions of μ, at this σ";
    this.legend.replaceChildren();
    const entries = prior
      ? [["the divergence", 0, false], ["σ² + μ² − log σ − ½", 1, true]]
      : [["D[Q‖P]", 0, false], ["D[P‖Q]", 1, true]];
    for (const [text, color, dash] of entries) {
      const key = node("span", { className: "vw-key", textContent: text, style: `--vw-swatch: var(--vw-class-${color})` }, this.legend);
      key.toggleAttribute("data-dash", dash);
    }
    this.numbers.cells.other.previousSibling.textContent = prior ? "printed formula" : `the other way, ${KL_NAMES[this.isForward ? "reverse" : "forward"]}`;
    this.numbers.cells.formula.previousSibling.textContent = this.name;
    curve.xLabel = prior ? "σ" : "μ";
    curve.x = prior ? [0, this.sigmas[1]] : [-this.reach, this.reach];
    curve.removeHandle("curve");
    curve.handle("curve", {
      label: prior ? "Standard deviation of Q, on the curve" : "Mean of Q, on the curve",
      axis: "x", step: [0.02, 0], color: "accent",
      at: () => [prior ? this.sigma : this.mu, this.divergence()],
      say: () => `${prior ? `σ ${fixed(this.sigma, 2)}` : `μ ${fixed(this.mu, 2)}`}, ${fixed(this.divergence(), 3)} nats`,
      move: ([at], how) => this.set(prior ? { sigma: at } : { mu: at }, how),
    });
    this.note.textContent = prior
      ? "Rings mark the minima: σ = 1 for the divergence, σ = 1/√2 for the printed formula. At μ = 0 the first is 0 and the second ½ log 2."
      : "D[Q‖P] has a valley at each peak. D[P‖Q] has one, where Q has P’s mean and variance.";
  }

  // `how`: while a handle is dragged the picture's frame stands still, or it would run away from it.
  changed(how) {
    const { mu, sigma } = this;
    if (how !== "drag") this.half = Math.max(5, Math.abs(mu) + 4.2 * sigma);
    const x = [-this.half, this.half], zs = Array.from({ length: 401 }, (_, k) => x[0] + k * (x[1] - x[0]) / 400);
    const weights = zs.map((z) => this.logWeight(z)), most = Math.max(...weights);
    const ratios = zs.map((z) => this.logRatio(z));
    const massive = ratios.filter((_, k) => weights[k] > most - 4.5); // within 3σ of a Gaussian's peak
    const parts = ratios.map((r, k) => Math.exp(weights[k]) * r);
    this.zs = zs;
    this.now = { weights, most, ratios, parts };
    this.density.setRange(x, [0, Math.max(0.9, 1.18 / (sigma * Math.sqrt(2 * Math.PI)))]);
    this.ratio.setRange(x, [Math.min(-1, 1.1 * Math.min(...massive)), Math.max(1, 1.1 * Math.max(...massive))]);
    this.area.setRange(x, [Math.min(-0.2, 1.15 * Math.min(...parts)), Math.max(0.5, 1.15 * Math.max(...parts))]);
    const formula = this.divergence(), area = this.summedArea();
    const other = this.mode === "prior" ? klPrinted(mu, sigma) : this.divergence(mu, sigma, this.isForward ? "reverse" : "forward");
    // So high that both divergences are in sight, unless one of them is out of all proportion.
    const top = this.mode === "prior" ? mu * mu + 2.5 : Math.min(12, Math.max(4, 1.25 * Math.max(formula, other)));
    this.curve.setRange(null, [0, top]);
    this.numbers.set({
      q: `N(${fixed(mu, 2)}, ${fixed(sigma, 2)}²)`, formula: `${fixed(formula, 4)} nats`,
      area: fixed(area, 4), other: fixed(other, 4),
    });
    this.density.describe(`Densities: Q is N(${fixed(mu, 2)}, ${fixed(sigma, 2)} squared)`);
    this.area.describe(`Integrand, its area ${fixed(area, 3)} nats`);
    this.curve.describe(`${this.name} is ${fixed(formula, 3)} nats`);
    if (how !== "drag") this.say?.(`μ ${fixed(mu, 2)}, σ ${fixed(sigma, 2)}: ${this.name} ${fixed(formula, 3)} nats`);
  }

  // A trait set in Python.
  pull(name, value) {
    this[name] = value;
    if (name === "mode" || name === "direction") this.showMode();
    this.changed("set");
  }

  // ------------------------------------------------------------ drawing

  drawDensity(ctx, chart) {
    const { zs, theme } = this, q = zs.map((z) => Math.exp(this.logQ(z))), p = zs.map((z) => Math.exp(this.logP(z)));
    chart.line(ctx, zs, p, theme.muted, { dash: [6, 4] });
    chart.area(ctx, zs, q, theme.accent, { alpha: 0.12 });
    chart.line(ctx, zs, q, theme.accent, { width: 2.5 });
    ctx.textBaseline = "bottom";
    const name = (text, at, color, side) => {
      const z = at, y = Math.exp(text === "Q" ? this.logQ(z) : this.logP(z));
      ctx.textAlign = side < 0 ? "right" : "left";
      chart.text(ctx, text, chart.px(z) + 6 * side, chart.py(y) - 4, color);
    };
    const left = this.mu <= 0 ? 1 : -1;
    const p0 = this.mode === "prior" ? left * 1.3 : this.peaks.means[left > 0 ? 1 : 0] + left * 0.6;
    name("P", p0, theme.muted, left);
    name("Q", this.mu - left * 1.3 * this.sigma, theme.accent, -left);
  }

  drawRatio(ctx, chart) {
    const { zs, theme, now } = this, color = classColor(theme, 2);
    chart.rule(ctx, "y", 0, theme.muted, { width: 1, dash: [] });
    chart.line(ctx, zs, now.ratios, color, { width: 1.5, dash: [3, 4], alpha: 0.7 });
    chart.line(ctx, zs, now.ratios.map((r, k) => (now.weights[k] > now.most - 4.5 ? r : NaN)), color, { width: 3 });
  }

  drawArea(ctx, chart) {
    const { zs, theme, now } = this;
    chart.area(ctx, zs, now.parts.map((v) => Math.max(0, v)), theme.accent, { alpha: 0.45 });
    chart.area(ctx, zs, now.parts.map((v) => Math.min(0, v)), classColor(theme, 1), { alpha: 0.5 });
    chart.line(ctx, zs, now.parts, theme.fg, { width: 1.3 });
    chart.rule(ctx, "y", 0, theme.muted, { width: 1, dash: [] });
    const side = this.mu > 0 ? -1 : 1, { left, top, width } = chart.inner; // away from Q
    ctx.textAlign = side > 0 ? "right" : "left";
    ctx.textBaseline = "top";
    chart.text(ctx, `area = ${fixed(this.divergence(), 3)} nats`, side > 0 ? left + width - 6 : left + 8, top + 4, theme.fg);
  }

  drawCurve(ctx, chart) {
    const { theme, mu, sigma } = this, ours = classColor(theme, 0), theirs = classColor(theme, 1);
    if (this.mode === "prior") {
      const at = chart.places(300).filter((s) => s > 0.002);
      chart.rule(ctx, "x", 1, ours, { width: 1, text: "1", side: 1 });
      chart.rule(ctx, "x", PRINTED_LOWEST, theirs, { width: 1, text: "1/√2", side: -1 });
      chart.line(ctx, at, at.map((s) => klPrinted(mu, s)), theirs, { dash: [7, 4] });
      chart.line(ctx, at, at.map((s) => klToPrior(mu, s)), ours, { width: 2.5 });
      this.ring(ctx, chart, 1, klToPrior(mu, 1), ours);
      this.ring(ctx, chart, PRINTED_LOWEST, klPrinted(mu, PRINTED_LOWEST), theirs);
      chart.dots(ctx, [sigma], [klPrinted(mu, sigma)], theirs, { radius: 5 });
      return;
    }
    const at = chart.places(97), draw = (direction, color, options) =>
      chart.line(ctx, at, at.map((m) => this.divergence(m, sigma, direction, 240)), color, options);
    draw("forward", theirs, { dash: [7, 4], width: this.isForward ? 2.5 : 1.8 });
    draw("reverse", ours, { width: this.isForward ? 1.8 : 2.5 });
  }

  ring(ctx, chart, x, y, color) {
    ctx.beginPath();
    ctx.arc(chart.px(x), chart.py(y), 6, 0, 2 * Math.PI);
    ctx.strokeStyle = color;
    ctx.lineWidth = 2;
    ctx.stroke();
  }
}

function render({ model, el }) {
  return frame(model, el, "Kullback–Leibler explorer", async (root, undo) => {
    const bench = new KLBench(root, model, undo);
    // For tests and the curious: what the page computes, callable from the console.
    root.parentElement.__vae = {
      bench,
      state: () => ({
        mu: bench.mu, sigma: bench.sigma, mode: bench.mode, direction: bench.direction,
        divergence: bench.divergence(), area: bench.summedArea(), printed: klPrinted(bench.mu, bench.sigma),
      }),
    };
  });
}

export default { render };
