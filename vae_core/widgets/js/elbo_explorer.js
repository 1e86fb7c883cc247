// ELBOExplorer: a posterior, a Gaussian Q to drag over it, and every term of the bound.

// f and its derivative, as in vae_core/evaluation/_one_latent.py, whose grids these are too.
const ELBO_DECODERS = {
  line: [(z) => z, () => 1],
  exponential: [Math.exp, Math.exp],
  square: [(z) => z * z, (z) => 2 * z],
};

function elboTrapezoid(half, count) {
  const h = 2 * half / (count - 1);
  return Array.from({ length: count }, (_, k) => [-half + k * h, k === 0 || k === count - 1 ? h / 2 : h]);
}
const ELBO_Z = elboTrapezoid(10, 4001);
// Points t = (z − mean)/σ with the weights of a mean under Q.
const ELBO_T = elboTrapezoid(12, 385).map(([t, w]) => [t, w * Math.exp(normalLogDensity(t))]);

class OneLatentModel {
  constructor({ decoder, x, sigma }) {
    Object.assign(this, { x, sigma });
    [this.f, this.slope] = ELBO_DECODERS[decoder];
    this.evidence = logSumExp(ELBO_Z.map(([z, w]) => this.logJoint(z) + Math.log(w)));
    this.peak = Math.max(...ELBO_Z.map(([z]) => Math.exp(this.logPosterior(z))));
  }

  logLikelihood(z) { return normalLogDensity(this.x, this.f(z), this.sigma); }
  logJoint(z) { return this.logLikelihood(z) + normalLogDensity(z); }
  logPosterior(z) { return this.logJoint(z) - this.evidence; }

  // The gap is an integral of its own, not a difference of the others.
  terms(mean, sigma) {
    let reconstruction = 0, gap = 0;
    for (const [t, w] of ELBO_T) {
      const z = mean + sigma * t;
      reconstruction += w * this.logLikelihood(z);
      gap += w * (normalLogDensity(t) - Math.log(sigma) - this.logPosterior(z));
    }
    const kl = (sigma * sigma + mean * mean - 1) / 2 - Math.log(sigma);
    return { evidence: this.evidence, elbo: reconstruction - kl, gap, reconstruction, kl };
  }

  // Ascent along the natural gradient, halving a step that would lower the bound.
  climb(mean, sigma, limits) {
    const clamp = (value, [low, high]) => Math.min(high, Math.max(low, value));
    const logs = limits.sigma.map(Math.log);
    const value = (m, l) => {
      let sum = l;
      for (const [t, w] of ELBO_T) sum += w * this.logJoint(m + Math.exp(l) * t);
      return sum;
    };
    let at = [mean, Math.log(sigma)], height = value(...at);
    for (let round = 0; round < 400; round++) {
      const s = Math.exp(at[1]);
      let g = 0, gt = 0;
      for (const [t, w] of ELBO_T) {
        const z = at[0] + s * t;
        const d = w * ((this.x - this.f(z)) / (this.sigma * this.sigma) * this.slope(z) - z);
        g += d;
        gt += d * t;
      }
      const up = [s * s * g, (s * gt + 1) / 2];
      let there = null;
      for (let step = 1; step > 1e-12; step /= 2) {
        there = [clamp(at[0] + step * up[0], limits.mean), clamp(at[1] + step * up[1], logs)];
        if (value(...there) >= height) break;
        there = null;
      }
      if (!there) break;
      const moved = Math.abs(there[0] - at[0]) + Math.abs(there[1] - at[1]);
      at = there;
      height = value(...at);
      if (moved < 1e-12) break;
    }
    return { height, q: [at[0], Math.exp(at[1])] };
  }

  best(mean, sigma, limits) {
    let best = this.climb(mean, sigma, limits);
    for (const start of [[-1.5, 0.5], [1.5, 0.5]]) {
      const other = this.climb(...start, limits);
      if (other.height > best.height + 1e-6) best = other;
    }
    return best.q;
  }
}

const ELBO_PARTS = [
  ["evidence", "−log P(X)", 7], ["gap", "gap", 3], ["reconstruction", "−reconstruction", 2], ["kl", "KL to the prior", 4],
];

class Balance {
  constructor(root, model, undo) {
    this.root = root;
    this.model = model;
    const { cases, limits } = model.get("payload");
    Object.assign(this, { cases, limits });
    this.models = Object.fromEntries(Object.entries(cases).map(([name, spec]) => [name, new OneLatentModel(spec)]));
    for (const name of ["posterior", "mean", "sigma"]) this[name] = model.get(name);
    this.build();
    this.say = announcer(root);
    this.traits = traits(model, ["posterior", "mean", "sigma"], (name, value) => this.pull(name, value));
    undo.push(() => { this.traits.close(); this.density.close(); this.bars.close(); });
    undo.push(followTheme(root, (theme) => { this.theme = theme; this.density.setTheme(theme); this.bars.setTheme(theme); }));
    this.refresh();
  }

  build() {
    const bar = node("div", { className: "vw-bar" }, this.root);
    const names = Object.keys(this.cases);
    this.choices = choice(bar, "Posterior", names.map((name) => [name, this.cases[name].title]), this.posterior,
      (name) => this.set({ posterior: name }, "set"));
    const second = node("div", { className: "vw-elbo-go vw-push" }, bar);
    button(second, "Best Q", () => this.goBest(), { title: "The Gaussian with the highest bound" });
    button(second, "Q = prior", () => this.set({ mean: 0, sigma: 1 }, "set"));
    const legend = node("div", { className: "vw-bar vw-elbo-legend" }, this.root);
    const key = (text, color, dash, parent = legend) => {
      const span = node("span", { className: "vw-key", textContent: text, style: `--vw-swatch: var(${color})` }, parent);
      if (dash) span.dataset.dash = "";
    };
    key("P(z|X), the true posterior", "--vw-class-1");
    key("Q(z|X)", "--vw-accent");
    key("P(z), the prior", "--vw-muted", true);
    const narrow = this.root.clientWidth < 480;
    this.density = new Chart(this.root, {
      label: "Densities of z", x: this.limits.mean, y: [0, 1], xLabel: "z", yLabel: "density", aspect: narrow ? 0.66 : 0.42,
      handlers: { draw: (ctx, chart) => this.drawDensity(ctx, chart) },
    });
    const q = (z) => Math.exp(normalLogDensity(z, this.mean, this.sigma)), step = [0.02, 0];
    this.density.handle("mean", {
      label: "Mean of Q", mark: "μ", axis: "x", step, color: "accent", say: () => `μ ${fixed(this.mean, 2)}`,
      at: () => [this.mean, q(this.mean)], move: ([at], how) => this.set({ mean: at }, how),
    });
    this.density.handle("sigma", {
      label: "Standard deviation of Q", mark: "σ", axis: "x", step, color: "accent", say: () => `σ ${fixed(this.sigma, 2)}`,
      at: () => [this.mean + this.sigma, q(this.mean + this.sigma)],
      move: ([at], how) => this.set({ sigma: at - this.mean }, how),
    });
    this.numbers = readout(this.root, [
      ["q", "Q(z|X)"],
      ["evidence", "log P(X)", "does not depend on Q"],
      ["elbo", "ELBO", "reconstruction − KL"],
      ["gap", "gap", "D[Q‖P(z|X)], by an integral of its own"],
      ["reconstruction", "reconstruction", "E[log P(X|z)], z from Q"],
      ["kl", "KL to the prior", "D[Q‖P(z)]"],
    ]);
    node("p", { className: "vw-elbo-caption", textContent: "−ELBO added up in two ways: both bars end at the same place" }, this.root);
    const parts = node("div", { className: "vw-elbo-parts" }, this.root);
    ELBO_PARTS.forEach(([, name, hue]) => key(name, `--vw-class-${hue}`, false, parts));
    this.bars = new Chart(this.root, {
      label: "Two bars of the same length", x: [0, 4], y: [0, 2], xLabel: "nats", aspect: narrow ? 0.34 : 0.2, ticks: { y: [] },
      handlers: { draw: (ctx, chart) => this.drawBars(ctx, chart) },
    });
    keysHelp(this.root, [
      ["drag", "μ moves Q, σ widens it"],
      ["Tab", "go to a handle or a button"],
      ["arrows", "move the handle; with Shift ten times as far"],
    ]);
  }

  // ------------------------------------------------------------ acting

  get now() { return this.models[this.posterior]; }

  set(values, how) {
    for (const name of ["mean", "sigma"]) {
      const [low, high] = this.limits[name];
      if (name in values) this[name] = Math.min(high, Math.max(low, values[name]));
    }
    if ("posterior" in values) this.posterior = values.posterior;
    this.traits.push({ posterior: this.posterior, mean: this.mean, sigma: this.sigma });
    this.refresh();
    if (how === "set") this.announce();
  }

  goBest() {
    const [mean, sigma] = this.now.best(this.mean, this.sigma, this.limits);
    this.set({ mean, sigma }, "set");
  }

  pull(name, value) {
    this[name] = value;
    this.refresh();
  }

  announce() {
    const { evidence, elbo, gap } = this.terms;
    this.say(`μ ${fixed(this.mean, 2)}, σ ${fixed(this.sigma, 2)}: log P(X) ${fixed(evidence, 2)}, ELBO ${fixed(elbo, 2)}, gap ${fixed(gap, 2)} nats`);
  }

  refresh() {
    const terms = this.terms = this.now.terms(this.mean, this.sigma);
    const show = (value) => (Math.abs(value) < 1e4 ? fixed(value, 4) : value.toExponential(3).replace(/-/g, "−"));
    [...this.choices.children].forEach((each, k) => each.setOn(Object.keys(this.cases)[k] === this.posterior));
    this.numbers.set({
      q: `N(${fixed(this.mean, 2)}, ${fixed(this.sigma, 2)}²)`,
      ...Object.fromEntries(Object.entries(terms).map(([name, value]) => [name, show(value)])),
    });
    this.density.describe(`True posterior, prior, and Q with mean ${fixed(this.mean, 2)} and standard deviation ${fixed(this.sigma, 2)}`);
    this.bars.describe(`−ELBO is ${fixed(-terms.elbo, 2)} nats: −log P(X) ${fixed(-terms.evidence, 2)} plus gap ${fixed(terms.gap, 2)}; `
      + `or −reconstruction ${fixed(-terms.reconstruction, 2)} plus KL ${fixed(terms.kl, 2)}`);
    // High enough for the best Q of each model; a Q that is narrower still runs out of the picture.
    const top = Math.exp(normalLogDensity(0, 0, this.sigma));
    this.density.setRange(null, [0, Math.max(1.6 * this.now.peak, Math.min(1.1 * top, 2.3 * this.now.peak))]);
    // The scale moves in steps, so that the bars can be seen to grow.
    let reach = 4;
    while (reach < -1.05 * terms.elbo) reach *= 2;
    this.bars.setRange([0, reach], null);
  }

  // ------------------------------------------------------------ drawing

  drawDensity(ctx, chart) {
    const { theme } = chart, xs = chart.places(700), { now } = this;
    const posterior = xs.map((z) => Math.exp(now.logPosterior(z)));
    const q = xs.map((z) => Math.exp(normalLogDensity(z, this.mean, this.sigma)));
    const color = classColor(theme, 1);
    chart.area(ctx, xs, posterior, color);
    chart.line(ctx, xs, xs.map((z) => Math.exp(normalLogDensity(z))), theme.muted, { dash: [6, 4], width: 1.5 });
    chart.line(ctx, xs, posterior, color);
    chart.area(ctx, xs, q, theme.accent, { alpha: 0.12 });
    chart.line(ctx, xs, q, theme.accent, { width: 2.5 });
  }

  drawBars(ctx, chart) {
    const { theme } = chart;
    ELBO_PARTS.forEach(([key, , hue], k) => {
      const row = k < 2 ? 1 : 0, first = k % 2 === 0, sign = key === "gap" || key === "kl" ? 1 : -1;
      const low = first ? 0 : -this.terms[ELBO_PARTS[k - 1][0]], high = low + sign * this.terms[key];
      const [x0, x1] = [chart.px(low), chart.px(high)], [top, bottom] = [chart.py(row + 0.9), chart.py(row + 0.1)];
      ctx.fillStyle = classColor(theme, hue);
      ctx.globalAlpha = 0.62;
      ctx.fillRect(x0, top, Math.max(0, x1 - x0), bottom - top);
      ctx.globalAlpha = 1;
    });
    chart.rule(ctx, "x", -this.terms.elbo, theme.fg, { width: 1.2, dash: [3, 3] });
  }
}

function render({ model, el }) {
  return frame(model, el, "ELBO explorer", async (root, undo) => {
    const balance = new Balance(root, model, undo);
    // For tests and the curious: what the page computes, callable from the console.
    root.parentElement.__vae = {
      balance,
      state: () => ({ posterior: balance.posterior, mean: balance.mean, sigma: balance.sigma, ...balance.terms }),
    };
  });
}

export default { render };
