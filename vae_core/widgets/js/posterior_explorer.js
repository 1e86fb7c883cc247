// PosteriorExplorer: the true posterior of a chosen X, a Gaussian Q, and their gap as σ shrinks.

// Points and rules as in vae_core/evaluation/_quantile_map.py.
const QM_REACH = 12, QM_COUNT = 4001;
function qmTrapezoid(reach, count) {
  const h = 2 * reach / (count - 1);
  return Array.from({ length: count }, (_, k) => {
    const at = -reach + k * h;
    return [at, (k === 0 || k === count - 1 ? h / 2 : h) * Math.exp(normalLogDensity(at))];
  });
}
const QM_T = qmTrapezoid(9, 385), QM_DATA = qmTrapezoid(8, 513);

// pdf and score (the derivative of its logarithm) of each density; `parts` are the mixture's.
const QM_DENSITIES = {
  mixture: (parts) => ({
    pdf: (x) => {
      let sum = 0;
      for (const [w, m, s] of parts) sum += w * Math.exp(normalLogDensity(x, m, s));
      return sum;
    },
    // In logs: far out the density itself is too small for a number.
    score: (x) => {
      const logs = parts.map(([w, m, s]) => Math.log(w) + normalLogDensity(x, m, s)), all = logSumExp(logs);
      return parts.reduce((sum, [, m, s], k) => sum + Math.exp(logs[k] - all) * (m - x) / (s * s), 0);
    },
  }),
  gumbel: () => ({ pdf: (x) => Math.exp(-x - Math.exp(Math.min(-x, 700))), score: (x) => Math.expm1(Math.min(-x, 700)) }),
  logistic: () => ({ pdf: (x) => { const e = Math.exp(-Math.abs(x)); return e / ((1 + e) * (1 + e)); }, score: (x) => -Math.tanh(x / 2) }),
};

class QuantileModel {
  constructor(table, { pdf, score }) {
    Object.assign(this, { table, pdf });
    const step = this.step = 2 * QM_REACH / (QM_COUNT - 1);
    this.slopes = new Float64Array(QM_COUNT);
    this.bends = new Float64Array(QM_COUNT);
    for (let k = 0; k < QM_COUNT; k++) {
      const z = -QM_REACH + k * step, slope = Math.exp(normalLogDensity(z)) / pdf(table[k]);
      this.slopes[k] = slope;
      this.bends[k] = slope * (-z - slope * score(table[k]));
    }
    this.means = new Map();
  }

  // Quintic between the table's points; a straight line beyond them.
  f(z) {
    const { table, slopes, bends, step } = this;
    const held = Math.min(QM_REACH, Math.max(-QM_REACH, z));
    const k = Math.min(QM_COUNT - 2, Math.floor((held + QM_REACH) / step)), t = (held + QM_REACH - k * step) / step;
    const b = table[k + 1] - table[k], c = step * slopes[k], d = step * slopes[k + 1];
    const e = step * step * bends[k] / 2, h = step * step * bends[k + 1] / 2;
    const third = 10 * b - 6 * c - 4 * d - 3 * e + h, fourth = -15 * b + 8 * c + 7 * d + 3 * e - 2 * h, fifth = 6 * b - 3 * c - 3 * d - e + h;
    return table[k] + t * (c + t * (e + t * (third + t * (fourth + t * fifth)))) + (z - held) * (z < 0 ? slopes[0] : slopes[QM_COUNT - 1]);
  }

  g(x) {
    let low = -8, high = 8;
    for (let k = 0; k < 60; k++) {
      const middle = (low + high) / 2;
      if (this.f(middle) < x) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  slope(z) { return Math.exp(normalLogDensity(z)) / this.pdf(this.f(z)); }

  given(x, sigma) { const z = this.g(x); return [z, sigma / this.slope(z)]; }

  // log P(X): the data's density blurred by N(0, σ²).
  evidence(x, sigma) {
    let sum = 0;
    for (const [u, w] of QM_T) sum += w * this.pdf(x + sigma * u);
    return Math.log(sum);
  }

  logJoint(z, x, sigma) { return normalLogDensity(x, this.f(z), sigma) + normalLogDensity(z); }

  elbo(x, sigma, [mean, width]) {
    let sum = 0;
    for (const [t, w] of QM_T) sum += w * (this.logJoint(mean + width * t, x, sigma) - normalLogDensity(t) + Math.log(width));
    return sum;
  }

  // Along the natural gradient from the appendix's Q, a step halved until the bound does not fall.
  best(x, sigma) {
    let [mean, width] = this.given(x, sigma);
    const look = (m, s) => {
      let sum = 0, first = 0, second = 0;
      for (const [t, w] of QM_T) {
        const value = w * this.logJoint(m + s * t, x, sigma);
        sum += value;
        first += value * t;
        second += value * (t * t - 1);
      }
      return { height: sum + Math.log(s), first, second };
    };
    let now = look(mean, width);
    for (let round = 0; round < 500; round++) {
      const byMean = width * now.first, byWidth = (now.second + 1) / 2;
      let step = 1, there = null, found = null;
      for (; step > 1e-9; step /= 2) {
        there = [mean + step * byMean, width * Math.exp(step * byWidth)];
        found = look(...there);
        if (found.height >= now.height) break;
        found = null;
      }
      if (!found) break;
      const moved = step * (Math.abs(byMean) / width + Math.abs(byWidth));
      [mean, width] = there;
      now = found;
      if (moved < 1e-12) break;
    }
    return [mean, width];
  }

  // E over the data, with the appendix's Q.
  meanGap(sigma) {
    if (this.means.has(sigma)) return this.means.get(sigma);
    this.data ??= QM_DATA.map(([y, share]) => { const x = this.f(y); return [y, share, x, Math.exp(normalLogDensity(y)) / this.pdf(x)]; });
    let total = 0;
    for (const [y, share, x, slope] of this.data) {
      const width = sigma / slope;
      let ratio = 0, p = 0;
      for (const [t, w] of QM_T) {
        const z = y + width * t, error = (x - this.f(z)) / sigma;
        ratio += w * (error * error + z * z - t * t);
        p += w * this.pdf(x + sigma * t);
      }
      total += share * (Math.log(p) + ratio / 2 + LOG_2PI / 2 + Math.log(slope));
    }
    this.means.set(sigma, total);
    return total;
  }
}

const QM_TRAITS = ["density", "sigma", "x", "best", "zoom"];

class PosteriorView {
  constructor(root, model, maps, undo) {
    const { cases, sigmas, codes } = model.get("payload");
    Object.assign(this, { root, maps, cases, sigmas, codes });
    this.curves = new Map();
    for (const name of QM_TRAITS) this[name] = model.get(name);
    this.hold(); // a link may say an X that this density has not
    const low = Math.log(sigmas[0]), high = Math.log(sigmas[1]);
    this.places = Array.from({ length: 17 }, (_, k) => Math.exp(low + k / 16 * (high - low)));
    this.build();
    this.say = announcer(root);
    this.traits = traits(model, QM_TRAITS, (name, value) => this.pull(name, value));
    if (this.x !== model.get("x")) this.traits.push({ x: this.x });
    const charts = [this.data, this.codesChart, this.decay];
    undo.push(() => { this.traits.close(); charts.forEach((chart) => chart.close()); });
    undo.push(followTheme(root, (theme) => { charts.forEach((chart) => chart.setTheme(theme)); }));
    this.refresh();
  }

  key(parent, text, color, dash) {
    const span = node("span", { className: "vw-key", textContent: text, style: `--vw-swatch: var(${color})` }, parent);
    if (dash) span.dataset.dash = "";
  }

  build() {
    const bar = node("div", { className: "vw-bar" }, this.root), names = Object.keys(this.cases);
    this.choices = choice(bar, "Density of the data", names.map((name) => [name, this.cases[name].title]), this.density,
      (name) => this.set({ density: name }, "set"));
    this.whichQ = choice(bar, "Which Q", [[false, "Appendix’s Q"], [true, "Best Gaussian"]], this.best, (best) => this.set({ best }, "set"));
    this.knob = labelled(this.root, "σ of P(X|z)", {
      min: Math.log10(this.sigmas[0]), max: Math.log10(this.sigmas[1]), step: 0.01, value: Math.log10(this.sigma), format: (v) => (10 ** v).toPrecision(3),
    }, (v) => this.set({ sigma: 10 ** v }, "set"));
    const narrow = this.root.clientWidth < 480;
    const first = node("div", { className: "vw-bar vw-posterior-legend" }, this.root);
    this.key(first, "the data’s density", "--vw-class-2");
    this.key(first, "the model’s P(X)", "--vw-fg", true);
    this.data = new Chart(this.root, {
      label: "Density of the data", x: [-3, 3], y: [0, 0.5], xLabel: "X", yLabel: "density", aspect: narrow ? 0.5 : 0.27,
      handlers: { draw: (ctx, chart) => this.drawData(ctx, chart), point: (at, how) => { if (at && how === "set") this.set({ x: at[0] }, how); } },
    });
    this.data.handle("x", {
      label: "The chosen X", mark: "X", axis: "x", color: "accent", say: () => `X ${fixed(this.x, 2)}`,
      at: () => [this.x, this.now.pdf(this.x)], move: ([at], how) => this.set({ x: at }, how),
    });
    const second = node("div", { className: "vw-bar vw-posterior-legend" }, this.root);
    this.key(second, "P(z|X), the true posterior", "--vw-class-1");
    this.key(second, "Q(z|X)", "--vw-accent");
    this.key(second, "P(z), the prior", "--vw-muted", true);
    this.zoomer = toggle(second, "Zoom to Q", this.zoom, (zoom) => this.set({ zoom }, "set"), { className: "vw-push" });
    this.codesChart = new Chart(this.root, {
      label: "Densities of z", x: [-4, 4], y: [0, 1], xLabel: "z", yLabel: "density", aspect: narrow ? 0.62 : 0.34,
      handlers: { draw: (ctx, chart) => this.drawCodes(ctx, chart) },
    });
    this.numbers = readout(this.root, [
      ["q", "Q(z|X)"],
      ["evidence", "log P(X)", "of the model, for the chosen X"],
      ["elbo", "ELBO"],
      ["gap", "gap", "D[Q‖P(z|X)] in nats: log P(X) − ELBO"],
      ["mean", "mean gap", "over the data, for the appendix’s Q"],
    ]);
    const third = node("div", { className: "vw-bar vw-posterior-legend" }, this.root);
    this.key(third, "mean gap over the data, appendix’s Q", "--vw-class-4");
    this.key(third, "gap of the chosen X, Q as shown", "--vw-class-1", true);
    this.decay = new Chart(this.root, {
      label: "Gap against sigma", x: this.sigmas, y: [1e-6, 2], xLog: true, yLog: true, xLabel: "σ", yLabel: "gap, nats", aspect: narrow ? 0.75 : 0.42,
      handlers: { draw: (ctx, chart) => this.drawDecay(ctx, chart) },
    });
    this.decay.handle("sigma", {
      label: "Sigma on the curve", mark: "σ", axis: "x", color: "accent", say: () => `σ ${this.sigma.toPrecision(3)}`,
      at: () => [this.sigma, this.numbersNow?.mean_gap ?? 1], move: ([at], how) => this.set({ sigma: at }, how),
    });
    keysHelp(this.root, [
      ["drag", "X along the data; σ along its curve"],
      ["click", "in the first picture: take that X"],
      ["Tab", "go to a handle, the slider or a button"],
      ["arrows", "move the handle or the slider; on a handle with Shift ten times as far"],
    ]);
  }

  // ------------------------------------------------------------ acting

  get now() { return this.maps[this.density]; }

  // Where X may lie; out of range it goes to the nearer end.
  hold() {
    const low = this.now.f(-this.codes), high = this.now.f(this.codes);
    this.x = Math.min(high, Math.max(low, this.x));
    this.sigma = Math.min(this.sigmas[1], Math.max(this.sigmas[0], this.sigma));
  }

  set(values, how) {
    Object.assign(this, values);
    this.hold();
    this.traits.push(Object.fromEntries(QM_TRAITS.map((name) => [name, this[name]])));
    this.refresh();
    if (how === "set") {
      const { gap, mean_gap: mean } = this.numbersNow;
      this.say(`X ${fixed(this.x, 2)}, σ ${this.sigma.toPrecision(3)}: gap ${gap.toPrecision(3)} nats, mean over the data ${mean.toPrecision(3)}`);
    }
  }

  pull(name, value) {
    this[name] = value;
    this.hold();
    this.refresh();
  }

  q(sigma = this.sigma) { return this.best ? this.now.best(this.x, sigma) : this.now.given(this.x, sigma); }

  refresh() {
    const { now } = this, [mean, width] = this.shown = this.q();
    const evidence = now.evidence(this.x, this.sigma), elbo = now.elbo(this.x, this.sigma, this.shown);
    this.numbersNow = { evidence, elbo, gap: evidence - elbo, mean_gap: now.meanGap(this.sigma) };
    if (now.means.size > 2000) now.means.clear();
    const { gap, mean_gap: average } = this.numbersNow;
    const small = (value) => (Math.abs(value) < 1e-3 ? value.toExponential(3).replace(/-/g, "−") : fixed(value, 5));
    [...this.choices.children].forEach((each, k) => each.setOn(Object.keys(this.cases)[k] === this.density));
    [...this.whichQ.children].forEach((each, k) => each.setOn(this.best === (k === 1)));
    this.zoomer.setOn(this.zoom);
    this.knob.show(Math.log10(this.sigma));
    this.numbers.set({
      q: `N(${fixed(mean, 3)}, ${width.toPrecision(3)}²)`, evidence: fixed(evidence, 4), elbo: fixed(elbo, 4), gap: small(gap), mean: small(average),
    });
    const low = now.f(-3.2), high = now.f(3.2);
    let top = 0;
    for (let k = 0; k <= 200; k++) top = Math.max(top, now.pdf(low + k / 200 * (high - low)));
    this.data.setRange([low, high], [0, 1.25 * top]);
    const range = this.zoom ? [mean - 5 * width, mean + 5 * width] : [-4, 4];
    this.codesChart.setRange(range, [0, 1.4 / (width * Math.sqrt(2 * Math.PI))]);
    this.data.describe(`${this.cases[this.density].title}: the data’s density and the model’s, with X at ${fixed(this.x, 2)}`);
    this.codesChart.describe(`True posterior and Q with mean ${fixed(mean, 3)} and standard deviation ${width.toPrecision(3)}; gap ${gap.toPrecision(3)} nats`);
    this.decay.describe(`Mean gap against σ on logarithmic axes: ${average.toPrecision(3)} nats at σ ${this.sigma.toPrecision(3)}`);
    this.decay.redraw();
  }

  curve() {
    if (!this.curves.has(this.density)) this.curves.set(this.density, this.places.map((sigma) => this.now.meanGap(sigma)));
    return this.curves.get(this.density);
  }

  // ------------------------------------------------------------ drawing

  drawData(ctx, chart) {
    const { theme } = chart, xs = chart.places(220), { now } = this, color = classColor(theme, 2), density = xs.map(now.pdf);
    chart.area(ctx, xs, density, color);
    chart.line(ctx, xs, density, color);
    chart.line(ctx, xs, xs.map((x) => Math.exp(now.evidence(x, this.sigma))), theme.fg, { dash: [6, 4], width: 1.5 });
    chart.rule(ctx, "x", this.x, theme.accent, { width: 1.2, dash: [3, 3] });
  }

  drawCodes(ctx, chart) {
    const { theme } = chart, { now, numbersNow, shown: [mean, width] } = this, color = classColor(theme, 1);
    // On the whole plane a narrow peak falls between evenly spaced places: look where Q is, too.
    const near = Array.from({ length: 201 }, (_, k) => mean + (k - 100) / 16 * width);
    const xs = [...chart.places(500), ...near].sort((a, b) => a - b);
    const posterior = xs.map((z) => Math.exp(now.logJoint(z, this.x, this.sigma) - numbersNow.evidence));
    chart.line(ctx, xs, xs.map((z) => Math.exp(normalLogDensity(z))), theme.muted, { dash: [6, 4], width: 1.5 });
    chart.area(ctx, xs, posterior, color);
    chart.line(ctx, xs, posterior, color);
    chart.line(ctx, xs, xs.map((z) => Math.exp(normalLogDensity(z, mean, width))), theme.accent, { width: 2.2 });
  }

  drawDecay(ctx, chart) {
    const { theme } = chart, { now } = this;
    const own = this.places.map((sigma) => now.evidence(this.x, sigma) - now.elbo(this.x, sigma, this.q(sigma)));
    chart.line(ctx, this.places, own, classColor(theme, 1), { dash: [6, 4], width: 1.5 });
    chart.line(ctx, this.places, this.curve(), classColor(theme, 4), { width: 2.2 });
    chart.rule(ctx, "x", this.sigma, theme.muted, { width: 1, dash: [3, 3] });
    chart.dots(ctx, [this.sigma], [this.numbersNow.gap], classColor(theme, 1), { radius: 4 });
  }
}

function render({ model, el }) {
  return frame(model, el, "Posterior explorer", async (root, undo) => {
    const { cases, mixture } = model.get("payload");
    const maps = {};
    for (const [name, { table }] of Object.entries(cases)) {
      maps[name] = new QuantileModel(new Float64Array(await loadBlob(model, table)), QM_DENSITIES[name](mixture));
    }
    const view = new PosteriorView(root, model, maps, undo);
    // For tests and the curious: what the page computes, callable from the console.
    root.parentElement.__vae = {
      view,
      state: () => ({
        ...Object.fromEntries(QM_TRAITS.map((name) => [name, view[name]])), mean: view.shown[0], width: view.shown[1], ...view.numbersNow,
      }),
    };
  });
}

export default { render };
