// BoundExplorer: how the bound on log P(X) rises with the number of draws.

const BARS = 40; // heaviest weights shown one by one
const DOTS = 200; // blocks shown one by one
const ENOUGH = 20; // blocks for a 5 % and a 95 % quantile

// The order of the draws: shuffle 0 is their own. Fisher and Yates, on randomSource's draws.
function orderOf(count, shuffle) {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  if (!shuffle) return order;
  const { uniform } = randomSource(shuffle);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(uniform() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

// Mean of the blocks' bounds, with its standard error; for all draws together the delta method's.
function boundOf(weights, k) {
  const blocks = [];
  for (let at = 0; at + k <= weights.length; at += k) {
    blocks.push(logSumExp(weights.subarray(at, at + k)) - Math.log(k));
  }
  const mean = blocks.reduce((sum, v) => sum + v, 0) / blocks.length;
  const square = blocks.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  const spread = blocks.length > 1 ? Math.sqrt(square / (blocks.length - 1)) : NaN;
  let error = spread / Math.sqrt(blocks.length);
  if (k === weights.length && k > 1) error = Math.sqrt(Math.max(0, k / effectiveSize(weights) - 1) / (k - 1));
  return { mean, spread, error, blocks };
}

// (sum of weights)^2 over the sum of their squares.
function effectiveSize(weights) {
  let most = -Infinity, sum = 0, squares = 0;
  for (const w of weights) if (w > most) most = w;
  for (const w of weights) { const v = Math.exp(w - most); sum += v; squares += v * v; }
  return Math.min(weights.length, Math.max(1, sum * sum / squares));
}

const quantileOf = (sorted, share) => {
  const at = share * (sorted.length - 1), low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
};
const withError = (value, error) => (Number.isFinite(error) ? `${fixed(value, 2)} ± ${error.toFixed(2)}` : fixed(value, 2));

class BoundPanel {
  constructor(root, model, parts, undo) {
    Object.assign(this, parts); // names, shape, draws, weights [digit][draw], digits
    this.k = model.get("k");
    this.digit = model.get("digit");
    this.shuffle = model.get("shuffle");
    this.theme = THEMES[isDark(root) ? "dark" : "light"];
    // The slider's stops divide the number of draws: no draw is left over at any of them.
    this.counts = Array.from({ length: this.draws }, (_, i) => i + 1).filter((k) => this.draws % k === 0);
    this.buildShelf(root);
    this.buildControls(root);
    const split = node("div", { className: "vw-bounds" }, root);
    this.buildCharts(split);
    this.facts = readout(root, [
      ["mean", "bound, mean of blocks (nats)", "The mean of the bound over blocks of k draws, with its standard error"],
      ["spread", "spread of one block (nats)", "The standard deviation of the bound from block to block"],
      ["one", "first block (nats)", "The bound from the k draws whose weights are shown"],
      ["effective", "its effective sample size", "Square of the sum of weights over the sum of squares"],
      ["all", "log P(X) from all draws (nats)", "The estimate from all draws, with its standard error"],
    ]);
    node("p", {
      className: "vw-note",
      textContent: "Each dot is the bound from one block of k draws; the line is their mean, the band holds nine blocks of ten. "
        + "The dashed line is the estimate from all draws.",
    }, root);
    this.buildHelp(root);
    this.say = announcer(root);
    this.traits = traits(model, ["k", "digit", "shuffle"], (name, value) => this.pull(name, value));
    undo.push(() => { this.traits.close(); this.rise.close(); this.bars.close(); });
    this.compute();
    undo.push(followTheme(root, (theme) => {
      this.theme = theme;
      this.drawShelf();
      this.rise.setTheme(theme);
      this.bars.setTheme(theme);
    }));
  }

  // ------------------------------------------------------------ layout

  buildShelf(root) {
    const shelf = node("div", { className: "vw-bounds-shelf", role: "group", "aria-label": "Digit" }, root);
    this.shelf = this.names.map((name, index) => {
      const entry = toggle(shelf, "", index === this.digit, () => this.choose(index), {
        title: `Digit ${name}`, "aria-label": `Digit ${name}`,
      });
      const canvas = node("canvas", {}, entry);
      canvas.width = canvas.height = 4 * Math.max(...this.shape);
      return { entry, canvas };
    });
  }

  buildHelp(root) {
    keysHelp(root, [
      ["drag the dot", "another k; a click in the left chart sets it there"],
      ["Tab", "to a digit, the slider, a button, or the dot"],
      ["arrows", "the next or the last k; each k shares the draws out evenly"],
      ["Shuffle", "the same draws in another order, and so in other blocks"],
    ]);
  }

  drawShelf() {
    this.shelf.forEach(({ canvas }, index) => {
      const ctx = canvas.getContext("2d");
      ctx.clearRect(0, 0, canvas.width, canvas.height);
      drawDigit(ctx, this.digits[index], this.shape, 0, 0, canvas.width, this.theme.fg);
    });
  }

  buildControls(root) {
    const bar = node("div", { className: "vw-bounds-bar" }, root);
    this.slide = labelled(bar, "draws k", {
      min: 0, max: this.counts.length - 1, step: 1, value: this.nearest(this.k),
      format: () => String(this.k),
    }, (at) => this.setK(this.counts[at]));
    button(bar, "Shuffle draws", () => this.setShuffle(this.shuffle + 1), {
      title: "Other blocks of the same draws",
    });
    button(bar, "Own order", () => this.setShuffle(0), { title: "The draws in the order they were made" });
  }

  nearest(k) {
    let best = 0;
    this.counts.forEach((count, at) => {
      if (Math.abs(Math.log(count / k)) < Math.abs(Math.log(this.counts[best] / k))) best = at;
    });
    return best;
  }

  buildCharts(parent) {
    const left = node("div", { className: "vw-panel" }, parent), right = node("div", { className: "vw-panel" }, parent);
    node("div", { className: "vw-title", textContent: "The bound" }, left);
    this.rise = new Chart(left, {
      label: "The bound against the number of draws", x: [0.9, this.draws * 1.2], y: [-1, 0], xLog: true, aspect: 0.72,
      xLabel: "draws k", yLabel: "nats",
      handlers: { draw: (ctx, chart) => this.drawRise(ctx, chart), point: (at, how) => { if (how === "set") this.setK(this.counts[this.nearest(at[0])]); } },
    });
    this.rise.handle("k", {
      label: "Draws k", axis: "x", at: () => [this.k, this.now.mean], say: () => `${this.k} draws, bound ${fixed(this.now.mean, 2)} nats`,
      // One arrow key is one stop of the slider.
      move: ([x], how) => this.setK(how === "set" && x !== this.k ? this.counts[this.stop(x)] : this.counts[this.nearest(x)]),
    });
    this.barsTitle = node("div", { className: "vw-title" }, right);
    this.bars = new Chart(right, {
      label: "Shares of the weights", x: [0.4, BARS + 0.6], y: [0, 1], aspect: 0.72, xLabel: "draw, heaviest first",
      yLabel: "share of the weight",
      handlers: { draw: (ctx, chart) => this.drawBars(ctx, chart) },
    });
  }

  stop(x) {
    const here = this.nearest(this.k), next = here + Math.sign(x - this.k) * Math.max(1, Math.abs(this.nearest(x) - here));
    return Math.min(this.counts.length - 1, Math.max(0, next));
  }

  // ------------------------------------------------------------ acting

  // The whole curve; only a new digit or a new order changes it.
  compute() {
    const order = orderOf(this.draws, this.shuffle), stored = this.weights[this.digit];
    this.ordered = Float64Array.from(order, (i) => stored[i]);
    this.curve = this.counts.map((k) => boundOf(this.ordered, k));
    this.curve.forEach((bound) => { bound.sorted = [...bound.blocks].sort((a, b) => a - b); });
    this.total = boundOf(this.ordered, this.draws);
    const low = quantileOf(this.curve[0].sorted, 0.02), high = Math.max(this.total.mean, ...this.curve.map((b) => quantileOf(b.sorted, 0.99)));
    const pad = 0.06 * (high - low) || 1;
    this.rise.setRange(null, [low - pad, high + pad]);
    this.update();
  }

  update() {
    const block = this.ordered.subarray(0, this.k);
    this.now = boundOf(this.ordered, this.k);
    this.one = this.now.blocks[0];
    this.effective = effectiveSize(block);
    const log = logSumExp(block);
    this.shares = Array.from(block, (w) => Math.exp(w - log)).sort((a, b) => b - a);
    this.slide.show(this.nearest(this.k));
    this.facts.set({
      mean: withError(this.now.mean, this.now.error),
      spread: Number.isFinite(this.now.spread) ? this.now.spread.toFixed(2) : "one block only",
      one: fixed(this.one, 2),
      effective: `${this.effective.toFixed(1)} of ${this.k}`,
      all: withError(this.total.mean, this.total.error),
    });
    this.barsTitle.textContent = this.k > BARS ? `The ${BARS} heaviest of ${this.k} weights` : this.k === 1 ? "The first weight" : `The first ${this.k} weights`;
    const top = Math.min(1, 1.1 * this.shares[0]);
    this.bars.setRange([0.4, Math.min(BARS, Math.max(5, this.k)) + 0.6], [0, top]);
    this.rise.describe(`The bound against the number of draws: ${fixed(this.now.mean, 2)} nats at ${this.k} draws, ${fixed(this.total.mean, 2)} at ${this.draws}`);
    this.bars.describe(`Shares of the first ${this.k} weights: the heaviest has ${Math.round(100 * this.shares[0])} percent`);
    this.rise.redraw();
  }

  setK(value, tell = true) {
    const k = Math.min(this.draws, Math.max(1, Math.round(value)));
    if (k === this.k) return;
    this.k = k;
    this.update();
    if (tell) this.traits.push({ k });
    this.announce();
  }

  choose(index, tell = true) {
    this.digit = index;
    this.shelf.forEach(({ entry }, i) => entry.setOn(i === index));
    this.compute();
    if (tell) this.traits.push({ digit: index });
    this.announce();
  }

  setShuffle(value, tell = true) {
    this.shuffle = value;
    this.compute();
    if (tell) this.traits.push({ shuffle: value });
    this.announce();
  }

  announce() {
    this.say(`Digit ${this.names[this.digit]}, ${this.k} draws: bound ${fixed(this.now.mean, 2)} nats, effective sample size ${this.effective.toFixed(1)}`);
  }

  // A trait set in Python.
  pull(name, value) {
    if (name === "k") this.setK(value, false);
    else if (name === "digit") this.choose(value, false);
    else this.setShuffle(value, false);
  }

  // ------------------------------------------------------------ drawing

  drawRise(ctx, chart) {
    const { theme, counts, curve } = this;
    const several = counts.map((_, i) => i).filter((i) => curve[i].blocks.length >= ENOUGH);
    const at = several.map((i) => counts[i]);
    const edge = (share) => several.map((i) => quantileOf(curve[i].sorted, share));
    chart.area(ctx, at, edge(0.95), theme.accent, { base: edge(0.05), alpha: 0.16 });
    chart.rule(ctx, "y", this.total.mean, theme.fg, {
      text: "all draws", side: this.total.mean > (chart.y[0] + chart.y[1]) / 2 ? 1 : -1, start: this.k > this.draws / 30, // clear of the dot
    });
    const shown = this.now.blocks.slice(0, DOTS);
    chart.dots(ctx, shown.map(() => this.k), shown, theme.muted, { radius: 2, alpha: shown.length > 40 ? 0.35 : 0.8 });
    chart.line(ctx, counts, curve.map((bound) => bound.mean), theme.accent);
  }

  drawBars(ctx, chart) {
    const shown = this.shares.slice(0, BARS);
    chart.bars(ctx, Array.from({ length: shown.length + 1 }, (_, i) => i + 0.5), shown, this.theme.accent, { alpha: 0.75 });
    const rest = this.shares.slice(BARS).reduce((sum, v) => sum + v, 0);
    if (this.k > 1) chart.rule(ctx, "y", 1 / this.k, this.theme.fg, { dash: [3, 3], width: 1 });
    ctx.textAlign = "right";
    ctx.textBaseline = "top";
    const { left, top, width } = chart.inner;
    const words = this.k > BARS ? `the other ${this.k - BARS}: ${Math.round(100 * rest)} %` : this.k > 1 ? "dashed: equal shares" : "";
    chart.text(ctx, words, left + width - 4, top + 4, this.theme.muted);
  }
}

function render({ model, el }) {
  const { weights, digits, draws, names, shape } = model.get("payload");
  return frame(model, el, "Bound explorer", async (root, undo) => {
    const stored = new Float32Array(await loadBlob(model, weights));
    const bytes = new Uint8Array(await loadBlob(model, digits));
    const pixels = shape[0] * shape[1];
    const panel = new BoundPanel(root, model, {
      draws, names, shape,
      weights: names.map((_, i) => stored.subarray(i * draws, (i + 1) * draws)),
      digits: names.map((_, i) => Float32Array.from(bytes.subarray(i * pixels, (i + 1) * pixels), (v) => v / 255)),
    }, undo);
    root.parentElement.__vae = {
      panel,
      state: () => ({
        k: panel.k, digit: panel.digit, shuffle: panel.shuffle,
        bound: panel.now.mean, error: panel.now.error, spread: panel.now.spread, first: panel.one,
        effective: panel.effective, log_likelihood: panel.total.mean,
        log_likelihood_error: panel.total.error, all_effective: effectiveSize(panel.ordered),
        shares: panel.shares,
      }),
    };
  });
}

export default { render };
