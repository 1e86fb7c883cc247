// GradientNoise: many stochastic gradients of one small VAE, beside the exact gradient and law.

const GRADIENT_NAMES = { decoder: "decoder’s w", encoder: "encoder’s a" };
const GRADIENT_BINS = 41;
const gradientNumber = (value) => fixed(value, Math.abs(value) < 0.1 ? 4 : 3);

// The exact law of the estimate: vae_core.evaluation.ScalarVAE.law, in the same arithmetic.
function gradientLaw({ decoder: w, sigma: s, encoder: a, spread: t, data: c }, parameter, hold) {
  const s2 = s * s, t2 = t * t, c2 = c * c;
  if (parameter === "decoder") {
    const slope = (a - w * a * a) / s2, truth = slope * c2 - w * t2 / s2;
    return {
      truth, mean: truth, betweenImages: 2 * (slope * c2) ** 2,
      betweenDraws: (t2 * (1 - 2 * w * a) ** 2 * c2 + 2 * w * w * t2 * t2) / (s2 * s2),
    };
  }
  const slope = w * (1 - w * a) / s2 - a, truth = slope * c2;
  if (hold) return { truth, mean: -a * c2, betweenImages: 2 * (a * c2) ** 2, betweenDraws: 0 };
  return {
    truth, mean: truth, betweenImages: 2 * truth * truth,
    betweenDraws: w ** 4 * t2 * c2 / (s2 * s2),
  };
}

const gradientSpread = (law, batch, draws) => Math.sqrt((law.betweenImages + law.betweenDraws / draws) / batch);

// One image's gradient at one draw.
function gradientAt({ decoder: w, sigma: s, encoder: a, spread: t }, parameter, hold, x, noise) {
  const z = a * x + t * noise;
  if (parameter === "decoder") return (x - w * z) * z / (s * s);
  return (hold ? 0 : (x - w * z) * w * x / (s * s)) - a * x * x;
}

// What a batch `x` gives with its noise [draws][batch].
function gradientEstimate(one, parameter, hold, x, noise) {
  let sum = 0;
  for (const row of noise) x.forEach((value, i) => { sum += gradientAt(one, parameter, hold, value, row[i]); });
  return sum / (x.length * noise.length);
}

class NoiseBench {
  constructor(root, model, undo) {
    this.model = model;
    Object.assign(this, model.get("payload")); // case, largest, estimates
    this.names = ["batch", "draws", "parameter", "hold_z", "equal_cost", "seed"];
    this.names.forEach((name) => { this[name] = model.get(name); });
    this.theme = THEMES[isDark(root) ? "dark" : "light"];
    this.steps = Math.round(Math.log2(this.largest));
    this.buildBar(root);
    this.buildSliders(root);
    this.buildCharts(root);
    this.readout = readout(root, [
      ["truth", "true gradient"], ["mean", "mean of the estimates"], ["bias", "bias"],
      ["measured", "standard deviation, measured"], ["exact", "by the law"], ["cost", "decoded draws"],
    ]);
    this.verdict = node("p", { className: "vw-note vw-verdict" }, root);
    this.buildHelp(root);
    this.say = announcer(root);
    this.compute();
    this.traits = traits(model, this.names, (name, value) => this.pull(name, value));
    undo.push(() => {
      cancelAnimationFrame(this.frame);
      this.traits.close();
      this.charts.forEach((chart) => chart.close());
    });
    undo.push(followTheme(root, (theme) => {
      this.theme = theme;
      this.charts.forEach((chart) => chart.setTheme(theme));
    }));
    this.show();
  }

  // ------------------------------------------------------------ layout

  buildBar(root) {
    const bar = node("div", { className: "vw-bar" }, root);
    this.choose = choice(bar, "Gradient with respect to", Object.entries(GRADIENT_NAMES), this.parameter, (value) => this.set({ parameter: value }));
    this.holder = toggle(bar, "hold z fixed", this.hold_z, (on) => this.set({ hold_z: on }), {
      title: "Move the gradient inside the expectation: z counts as a constant",
    });
    const right = node("div", { className: "vw-push vw-tools" }, bar);
    this.equal = toggle(right, "equal cost", this.equal_cost, (on) => this.set({ equal_cost: on }), {
      title: "Keep images × draws as it is: more of one is fewer of the other",
    });
    button(right, "Draw again", () => this.set({ seed: (this.seed + 1) % 2 ** 31 }));
  }

  buildSliders(root) {
    const rows = node("div", { className: "vw-noise-sliders" }, root);
    const add = (key, name) => labelled(rows, name, {
      min: 0, max: this.steps, step: 1, value: Math.log2(this[key]), format: (v) => String(2 ** v),
    }, (v) => this.set({ [key]: 2 ** v }));
    this.sliders = { batch: add("batch", "images in the batch"), draws: add("draws", "draws of z per image") };
  }

  buildCharts(root) {
    const pair = node("div", { className: "vw-noise-charts" }, root);
    const make = (title, options) => {
      const panel = node("div", { className: "vw-panel" }, pair);
      node("div", { className: "vw-title", textContent: title }, panel);
      return new Chart(panel, { aspect: 0.72, ...options });
    };
    this.histogram = make(`${this.estimates} estimates of the gradient`, {
      label: "Histogram of gradient estimates", x: [-1, 1], y: [0, 1], xLabel: "estimate", yLabel: "density",
      handlers: { draw: (ctx, chart) => this.drawHistogram(ctx, chart) },
    });
    const powers = Array.from({ length: this.steps + 1 }, (_, k) => [2 ** k, String(2 ** k)]);
    this.law = make("Standard deviation of an estimate", {
      label: "Standard deviation against draws", x: [0.85, this.largest * 1.18], y: [0.01, 10], xLog: true, yLog: true,
      xLabel: "draws of z per image", yLabel: "standard deviation", ticks: { x: powers },
      handlers: { draw: (ctx, chart) => this.drawLaw(ctx, chart) },
    });
    this.law.handle("here", {
      label: "Draws of z per image", axis: "x", color: "accent",
      at: () => [this.draws, this.measured.deviation],
      say: () => `${this.draws} draws, standard deviation ${gradientNumber(this.measured.deviation)}`,
      move: ([draws], how) => this.drag(draws, how),
    });
    this.charts = [this.histogram, this.law];
    const keys = node("div", { className: "vw-bar vw-noise-keys" }, root);
    const key = (text, color, dash) => {
      const entry = node("span", { className: "vw-key", textContent: text, style: `--vw-swatch: ${color}` }, keys);
      if (dash) entry.dataset.dash = "";
    };
    key("more draws, same batch", "var(--vw-accent)");
    key("more draws, same cost", "var(--vw-class-1)");
    key("if every draw were a new image: 1/√(images · draws)", "var(--vw-muted)", true);
    key("floor: the images’ own spread", "var(--vw-class-2)", true);
  }

  buildHelp(root) {
    const details = keysHelp(root, [
      ["Tab", "to a slider, a button, or the dot in the right chart"],
      ["arrows", "half or twice as many"],
      ["drag the dot", "another number of draws"],
    ], "Keys and the model");
    const { decoder, sigma, encoder, spread, data } = this.case;
    node("p", {
      className: "vw-note",
      textContent: `X ~ N(0, ${data}²), z ~ N(0, 1), P(X|z) = N(w z, ${sigma}²), Q(z|X) = N(a X, ${spread}²), `
        + `looked at where w = ${decoder} and a = ${encoder}. Every estimate draws its own images and its own noise.`,
    }, details);
  }

  // ------------------------------------------------------------ computing

  compute() {
    const { estimates: count, batch, draws, parameter, hold_z: hold } = this;
    this.exact = gradientLaw(this.case, parameter, hold);
    const { normal } = randomSource(this.seed), values = new Float64Array(count);
    for (let k = 0; k < count; k++) {
      let sum = 0;
      for (let i = 0; i < batch; i++) {
        const x = this.case.data * normal();
        for (let j = 0; j < draws; j++) sum += gradientAt(this.case, parameter, hold, x, normal());
      }
      values[k] = sum / (batch * draws);
    }
    let mean = 0, square = 0;
    for (const value of values) mean += value / count;
    for (const value of values) square += (value - mean) ** 2 / (count - 1);
    this.values = values;
    this.measured = { mean, deviation: Math.sqrt(square), error: Math.sqrt(square / count) };
    this.deviation = gradientSpread(this.exact, batch, draws);
  }

  // ------------------------------------------------------------ drawing

  drawHistogram(ctx, chart) {
    const { exact, measured, deviation, theme } = this;
    const [low, high] = chart.x, width = (high - low) / GRADIENT_BINS;
    const edges = Array.from({ length: GRADIENT_BINS + 1 }, (_, k) => low + k * width);
    chart.bars(ctx, edges, this.heights, theme.accent);
    const xs = chart.places(240);
    chart.line(ctx, xs, xs.map((x) => Math.exp(normalLogDensity(x, exact.mean, deviation))), theme.accent, { dash: [4, 3], width: 1.5 });
    const apart = Math.abs(exact.mean - exact.truth) > 1e-12;
    if (apart) chart.rule(ctx, "x", measured.mean, theme.classes[3], { text: "mean", side: exact.mean < exact.truth ? 1 : -1 });
    chart.rule(ctx, "x", exact.truth, theme.fg, { dash: [], width: 2, text: "truth", side: apart && exact.mean > exact.truth ? 1 : -1 });
  }

  drawLaw(ctx, chart) {
    const { exact, theme, batch, draws, largest } = this, cost = batch * draws;
    const xs = chart.places(120).filter((x) => x >= 1 && x <= largest);
    chart.line(ctx, xs, xs.map((s) => Math.sqrt((exact.betweenImages + exact.betweenDraws) / (batch * s))), theme.muted, { dash: [2, 4], width: 1.5 });
    chart.rule(ctx, "y", Math.sqrt(exact.betweenImages / batch), theme.classes[2], { dash: [6, 4] });
    const equal = xs.filter((s) => cost / s >= 1 && cost / s <= largest);
    chart.line(ctx, equal, equal.map((s) => gradientSpread(exact, cost / s, s)), theme.classes[1]);
    chart.line(ctx, xs, xs.map((s) => gradientSpread(exact, batch, s)), theme.accent);
  }

  // ------------------------------------------------------------ acting

  show() {
    const { exact, measured, deviation, batch, draws } = this;
    const reach = 4.2 * deviation, low = Math.min(exact.mean, exact.truth) - reach, high = Math.max(exact.mean, exact.truth) + reach;
    const counts = new Float64Array(GRADIENT_BINS), width = (high - low) / GRADIENT_BINS;
    for (const value of this.values) {
      const bin = Math.floor((value - low) / width);
      if (bin >= 0 && bin < GRADIENT_BINS) counts[bin] += 1;
    }
    this.heights = Array.from(counts, (n) => n / (this.values.length * width));
    this.histogram.setRange([low, high], [0, 1.12 * Math.max(...this.heights, 0.4 / deviation)]);
    this.law.setRange(null, this.lawRange());
    this.sliders.batch.show(Math.log2(batch));
    this.sliders.draws.show(Math.log2(draws));
    this.holder.setOn(this.hold_z);
    this.equal.setOn(this.equal_cost);
    [...this.choose.children].forEach((b, k) => b.setOn(Object.keys(GRADIENT_NAMES)[k] === this.parameter));
    const bias = exact.mean - exact.truth;
    this.readout.set({
      truth: gradientNumber(exact.truth),
      // As many places for the value as for its error.
      mean: [measured.mean, measured.error].map((v) => fixed(v, measured.error < 0.01 ? 4 : 3)).join(" ± "),
      bias: bias ? gradientNumber(bias) : "0",
      measured: gradientNumber(measured.deviation),
      exact: gradientNumber(deviation),
      cost: `${batch} × ${draws} = ${batch * draws}`,
    });
    const share = 100 * exact.betweenDraws / (exact.betweenDraws + draws * exact.betweenImages);
    this.verdict.textContent = bias
      ? "The estimates gather, but not at the truth: with z held fixed the reconstruction sends no gradient to the encoder, "
        + "and only the KL’s is left. More images and more draws make this more certain, not more right."
      : (this.hold_z ? "Holding z fixed changes nothing here: w does not stand in Q, so its gradient may move inside. " : "")
        + `Of this estimate’s variance, ${fixed(share, 0)} % comes from the draws of z and ${fixed(100 - share, 0)} % from which images are in the batch. `
        + "More draws can lower only the first.";
    this.histogram.describe(`Histogram of ${this.values.length} estimates of the gradient with respect to the ${GRADIENT_NAMES[this.parameter]}: mean ${gradientNumber(measured.mean)}, truth ${gradientNumber(exact.truth)}.`);
    this.law.describe(`Standard deviation against draws of z per image, both axes logarithmic: ${gradientNumber(measured.deviation)} measured at ${draws} draws and ${batch} images.`);
  }

  // Whole decades, so that the curves of neighbouring settings stand in the same frame.
  lawRange() {
    const { exact, batch, draws, largest, deviation } = this, cost = batch * draws;
    const most = Math.min(largest, cost);
    const values = [
      deviation, gradientSpread(exact, batch, 1), gradientSpread(exact, batch, largest),
      gradientSpread(exact, cost / most, most), gradientSpread(exact, most, cost / most), // both ends at equal cost
    ];
    return [10 ** Math.floor(Math.log10(Math.min(...values)) - 0.15), 10 ** Math.ceil(Math.log10(Math.max(...values)) + 0.05)];
  }

  drag(draws, how) {
    // An arrow key asks for a little more or less: the next power of two that way.
    const exponent = Math.log2(Math.max(1e-3, draws)), now = Math.log2(this.draws);
    const small = Math.abs(exponent - now) < 0.3 && how === "set" && exponent !== now;
    this.set({ draws: this.clamp(small ? now + Math.sign(exponent - now) : Math.round(exponent)) });
  }

  clamp(exponent) { return 2 ** Math.min(this.steps, Math.max(0, exponent)); }

  set(values) {
    if (Object.entries(values).every(([name, value]) => this[name] === value)) return;
    const cost = this.batch * this.draws;
    Object.assign(this, values);
    if (this.equal_cost && ("batch" in values || "draws" in values)) {
      const [moved, other] = "draws" in values ? ["draws", "batch"] : ["batch", "draws"];
      this[other] = this.clamp(Math.log2(cost / this[moved]));
      this[moved] = cost / this[other]; // at the end of the range it goes no further
    }
    this.refresh();
    this.traits.push(Object.fromEntries(this.names.map((name) => [name, this[name]])));
    this.say(`${this.batch} images, ${this.draws} draws: standard deviation ${gradientNumber(this.deviation)}, bias ${gradientNumber(this.exact.mean - this.exact.truth)}`);
  }

  refresh() { this.compute(); this.show(); }

  // A trait set in Python.
  pull(name, value) {
    if (this[name] === value) return;
    this[name] = value;
    this.refresh();
  }
}

function render({ model, el }) {
  return frame(model, el, "Gradient noise", async (root, undo) => {
    const bench = new NoiseBench(root, model, undo);
    const { case: one } = bench;
    // For tests and the curious: what the page computes, callable from the console.
    root.parentElement.__vae = {
      bench,
      law: (parameter, hold) => gradientLaw(one, parameter, hold),
      deviation: (parameter, hold, batch, draws) => gradientSpread(gradientLaw(one, parameter, hold), batch, draws),
      estimate: (parameter, hold, x, noise) => gradientEstimate(one, parameter, hold, x, noise),
      state: () => ({
        ...Object.fromEntries(bench.names.map((name) => [name, bench[name]])),
        truth: bench.exact.truth, mean: bench.exact.mean, deviation: bench.deviation,
        measured: bench.measured, values: Array.from(bench.values),
      }),
    };
  });
}

export default { render };
