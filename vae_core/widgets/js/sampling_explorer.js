// SamplingExplorer: draws of z by the weight they have in an estimate of P(X).

const DRAW_SHOWN = 1e-4; // a smaller share is less than a pixel
const DRAW_LARGEST = 17; // radius of a draw that is the whole sum, in CSS pixels
const MARKS = 240; // places of the running estimate that are drawn

const grouped = (count) => String(Math.round(count)).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
const percent = (share) => (share >= 0.0995 ? `${fixed(100 * share, 0)} %` : share >= 0.001 ? `${fixed(100 * share, 1)} %` : "< 0.1 %");

// Draws of z and ||X − f(z)||² for each. Draws of the prior serve all digits; draws of Q(z|X) one.
class DrawSet {
  constructor(seed, q, targets) {
    this.source = randomSource(seed);
    this.q = q; // null for the prior
    this.targets = targets; // the digits compared with, each a Float64Array
    this.count = 0;
    this.z = [];
    this.squared = targets.map(() => []);
  }

  grow(decoder, pixels) {
    const { mean, sigma } = this.q ?? { mean: [0, 0], sigma: [1, 1] };
    const z = [0, 1].map((i) => mean[i] + sigma[i] * this.source.normal());
    decoder.mean(z, pixels);
    this.targets.forEach((x, k) => {
      let sum = 0;
      for (let i = 0; i < pixels.length; i++) sum += (x[i] - pixels[i]) ** 2;
      this.squared[k].push(sum);
    });
    this.z.push(z);
    this.count++;
  }
}

class Sampler {
  constructor(root, model, parts, undo) {
    Object.assign(this, parts); // payload, decoder, digits
    this.root = root;
    this.model = model;
    for (const name of ["digit", "sigma", "n", "proposal", "seed"]) this[name] = model.get(name);
    this.theme = THEMES[isDark(root) ? "dark" : "light"];
    this.sets = new Map();
    this.pixels = new Float64Array(this.decoder.mlp.outputs);
    this.rank = 0; // of the draw that was chosen, by weight
    this.hover = -1;
    this.build();
    this.say = announcer(root);
    this.traits = traits(model, ["digit", "sigma", "n", "proposal", "seed"], (name, value) => {
      this[name] = value;
      this.changed(false);
    });
    undo.push(() => { clearTimeout(this.timer); this.traits.close(); this.plane.close(); this.chart.close(); });
    undo.push(followTheme(root, (theme) => { this.theme = theme; this.chart.setTheme(theme); this.show(); this.shelf(); }));
    this.changed(false);
  }

  // ------------------------------------------------------------ layout

  build() {
    const { root, payload } = this;
    const bar = node("div", { className: "vw-bar" }, root);
    const shelf = node("div", { className: "vw-sampling-shelf", role: "group", "aria-label": "The image X" }, bar);
    this.entries = payload.labels.map((label, k) => {
      const entry = toggle(shelf, "", k === this.digit, () => this.set({ digit: k }), {
        "aria-label": `X: a digit ${label}`, title: `Estimate P(X) of this ${label}`,
      });
      const canvas = node("canvas", { width: 68, height: 68 }, entry);
      return { entry, canvas };
    });
    const second = node("div", { className: "vw-bar" }, root);
    this.from = choice(second, "Draw z from", [["prior", "z from P(z)"], ["posterior", "z from Q(z|X)"]],
      this.proposal, (value) => this.set({ proposal: value }));
    button(second, "New draws", () => this.set({ seed: (this.seed + 1) % 2 ** 32 }), { title: "Draw again (key N)" });
    const sliders = node("div", { className: "vw-sampling-sliders" }, root);
    this.budget = labelled(sliders, "draws n", {
      min: 0, max: Math.log10(payload.most), step: 0.05, value: Math.log10(this.n),
      format: (v) => grouped(10 ** v),
    }, (v) => this.set({ n: Math.round(10 ** v) }));
    const last = payload.sigmas.length - 1;
    this.width = labelled(sliders, "pixel σ", {
      min: 0, max: last, step: 1, value: last - this.level(), format: (v) => fixed(payload.sigmas[last - v], 2),
    }, (v) => this.set({ sigma: payload.sigmas[last - v] }));
    const body = node("div", { className: "vw-sampling-body" }, root);
    this.buildPlane(node("div", {}, body));
    this.buildChart(node("div", {}, body));
    this.buildHelp();
  }

  buildPlane(parent) {
    const head = node("div", { className: "vw-head" }, parent);
    node("div", { className: "vw-title", textContent: "Draws of z, by weight" }, head);
    this.plane = new Plane(parent, {
      label: "Latent plane with the draws of z. Left and right arrow: the next heavier or lighter draw.",
      home: { x: 0, y: 0, reach: 3.8 },
      handlers: {
        base: (ctx) => this.drawBase(ctx),
        overlay: (ctx) => this.drawOverlay(ctx),
        point: (z, how) => this.point(z, how),
        leave: () => { this.hover = -1; this.pick(); },
        step: ([dx, dy]) => this.step(dx > 0 || dy < 0 ? 1 : -1),
        focus: () => this.set_.z[this.chosen()],
        key: (event) => {
          if (event.key.toLowerCase() !== "n") return false;
          this.set({ seed: (this.seed + 1) % 2 ** 32 });
          return true;
        },
      },
    });
    this.plane.zoomButtons(head);
    const read = node("div", { className: "vw-read" }, parent);
    this.target = digitFigure(read, "X", this.payload.shape);
    this.drawn = digitFigure(read, "f(z) of a draw", this.payload.shape);
    const facts = node("dl", { className: "vw-facts" }, read);
    const fact = (term) => { node("dt", { textContent: term }, facts); return node("dd", {}, facts); };
    this.facts = { rank: fact("draw, by weight"), share: fact("its share of the estimate"), squared: fact("squared distance to X") };
  }

  buildChart(parent) {
    const head = node("div", { className: "vw-head" }, parent);
    node("div", { className: "vw-title", textContent: "Estimate of log P(X), in nats" }, head);
    this.chart = new Chart(parent, {
      label: "Running estimate of log P(X) against the number of draws",
      x: [1, this.payload.most], y: [-1, 0], xLog: true, aspect: 0.62,
      xLabel: "draws n", handlers: { draw: (ctx) => this.drawChart(ctx) },
    });
    this.chart.handle("n", {
      label: "Number of draws", axis: "x", color: "fg",
      at: () => [this.n, this.estimate ?? 0],
      move: ([n]) => this.set({ n: Math.round(Math.min(this.payload.most, Math.max(1, n))) }),
      say: () => `${grouped(this.n)} draws`,
    });
    this.numbers = readout(parent, [
      ["estimate", "estimate"], ["known", "log P(X)", "By importance sampling, with its standard error"],
      ["short", "estimate − log P(X)"],
      ["effective", "effective sample size", "(sum of weights)² / (sum of squared weights)"],
      ["carry", "draws with 99 % of the sum"],
    ]);
    this.status = node("p", { className: "vw-note" }, parent);
  }

  buildHelp() {
    keysHelp(this.root, [
      ["grey dots", "draws of z; an orange disc’s area is the draw’s share of the estimate"],
      ["blue circles", "the prior’s standard deviations, 1 to 3; green ellipses: Q(z|X), at 1 and 2 of its own"],
      ["dashed line", "log P(X), by importance sampling with 4,200 draws near the posterior"],
      ["pointer", "show the draw nearest to it; a click keeps it"],
      ["arrows", "on the plane: next heavier (left) or lighter (right) draw; on the chart’s handle: fewer or more draws"],
      ["n", "new draws"],
      ["+, −, Home", "zoom in, zoom out, whole plane; drag to pan"],
    ], "What is shown, keys and gestures");
  }

  // ------------------------------------------------------------ state

  level() {
    const distance = this.payload.sigmas.map((s) => Math.abs(Math.log(s / this.sigma)));
    return distance.indexOf(Math.min(...distance));
  }

  set(values) {
    Object.assign(this, values);
    this.traits.push(values);
    this.changed(true);
  }

  changed(tell) {
    const { payload } = this;
    this.sigma = payload.sigmas[this.level()];
    this.rank = 0;
    this.hover = -1;
    this.entries.forEach(({ entry }, k) => entry.setOn(k === this.digit));
    [...this.from.children].forEach((b, k) => b.setOn((k === 0) === (this.proposal === "prior")));
    this.budget.show(Math.log10(this.n));
    this.width.show(payload.sigmas.length - 1 - this.level());
    this.tell = tell;
    const own = this.proposal === "prior" ? "prior" : this.digit;
    const key = `${own} ${this.seed}`;
    if (!this.sets.has(key)) {
      // One seed at a time: older draws are not needed again.
      for (const old of this.sets.keys()) if (!old.endsWith(` ${this.seed}`)) this.sets.delete(old);
      this.sets.set(key, own === "prior"
        ? new DrawSet(this.seed, null, this.digits)
        : new DrawSet(this.seed, this.q(), [this.digits[this.digit]]));
    }
    // What was weighed belongs to other draws now: weigh the new ones before anything is drawn.
    if (this.set_ !== this.sets.get(key)) this.shownAt = -Infinity;
    this.set_ = this.sets.get(key);
    this.work();
  }

  q() {
    return { mean: this.payload.mean[this.digit], sigma: this.payload.log_sigma[this.digit].map(Math.exp) };
  }

  // Decode in slices, so that the page answers while it computes.
  work() {
    clearTimeout(this.timer);
    const began = performance.now(), set = this.set_;
    while (set.count < this.n && performance.now() - began < 24) set.grow(this.decoder, this.pixels);
    const ready = set.count >= this.n;
    this.status.textContent = ready ? "" : `decoding: ${grouped(set.count)} of ${grouped(this.n)} draws`;
    if (ready || began - (this.shownAt ?? -Infinity) > 150) {
      this.weigh(Math.min(set.count, this.n));
      this.show();
      this.shownAt = performance.now();
    }
    this.ready = ready;
    if (!ready) this.timer = setTimeout(() => this.work(), 0);
    else if (this.tell) {
      this.say(`${grouped(this.n)} draws: estimate ${fixed(this.estimate, 1)}, log P(X) ${fixed(this.known().value, 1)} nats, effective sample size ${fixed(this.effective, 1)}`);
    }
  }

  known() {
    const { reference, reference_error: error } = this.payload, level = this.level();
    return { value: reference[this.digit][level], error: error[this.digit][level] };
  }

  // log P(X|z) + log P(z) − log q(z) of the first n draws, and what follows from them.
  weigh(n) {
    const { sigma, set_: set } = this, q = set.q;
    const squared = set.squared[q ? 0 : this.digit];
    const constant = -this.pixels.length * (Math.log(sigma) + 0.5 * LOG_2PI);
    const weights = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      weights[i] = constant - 0.5 * squared[i] / sigma ** 2;
      if (q) for (const d of [0, 1]) weights[i] += normalLogDensity(set.z[i][d]) - normalLogDensity(set.z[i][d], q.mean[d], q.sigma[d]);
    }
    const marks = new Set(Array.from({ length: MARKS }, (_, k) => Math.round(n ** (k / (MARKS - 1)))));
    this.running = [];
    let most = -Infinity, sum = 0, squares = 0;
    for (let i = 0; i < n; i++) {
      const w = weights[i];
      if (w > most) { const shrink = Math.exp(most - w); sum *= shrink; squares *= shrink ** 2; most = w; }
      sum += Math.exp(w - most);
      squares += Math.exp(2 * (w - most));
      if (marks.has(i + 1)) this.running.push([i + 1, most + Math.log(sum) - Math.log(i + 1)]);
    }
    this.shown = n;
    this.weights = weights;
    this.estimate = most + Math.log(sum) - Math.log(n);
    this.effective = sum ** 2 / squares;
    this.order = Uint32Array.from(weights, (_, i) => i).sort((a, b) => weights[b] - weights[a]);
    const total = this.estimate + Math.log(n);
    this.share = (i) => Math.exp(weights[i] - total);
    let carried = 0;
    this.carry = 0;
    while (carried < 0.99 && this.carry < n) carried += this.share(this.order[this.carry++]);
  }

  // ------------------------------------------------------------ showing

  show() {
    if (!this.weights) return;
    const known = this.known();
    this.numbers.set({
      estimate: `${fixed(this.estimate, 1)} nats`,
      known: `${fixed(known.value, 1)} ± ${fixed(known.error, 2)}`,
      short: fixed(this.estimate - known.value, 1),
      effective: fixed(this.effective, 1),
      carry: `${grouped(this.carry)} of ${grouped(this.shown)}`,
    });
    const values = this.running.map(([, value]) => value);
    // The first few draws may be thousands of nats off: what is to be seen lies nearer.
    const from = this.running.filter(([n]) => n >= 3).map(([, value]) => value);
    const low = Math.min(known.value - 5, ...(from.length ? from : values)), high = Math.max(known.value, ...values);
    const margin = 0.06 * (high - low);
    this.chart.setRange(null, [low - margin, high + 2 * margin]);
    this.chart.describe(`Running estimate of log P(X) against the number of draws: after ${grouped(this.shown)}, ${fixed(this.estimate, 1)} nats; log P(X) is ${fixed(known.value, 1)}`);
    this.target.show(this.digits[this.digit], this.theme, `X, a digit ${this.payload.labels[this.digit]}`);
    this.plane.redraw();
    this.pick();
  }

  shelf() {
    this.entries.forEach(({ canvas }, k) => {
      const ctx = canvas.getContext("2d");
      ctx.clearRect(0, 0, canvas.width, canvas.height);
      drawDigit(ctx, this.digits[k], this.payload.shape, 0, 0, canvas.width, this.theme.fg, true);
    });
  }

  chosen() { return this.hover >= 0 ? this.hover : this.order[Math.min(this.rank, this.shown - 1)]; }

  pick() {
    if (!this.weights) return;
    const i = this.chosen(), place = this.order.indexOf(i) + 1, set = this.set_;
    this.picture = this.decoder.mean(set.z[i], this.picture);
    this.drawn.show(this.picture, this.theme, `Decoded from draw ${place} by weight`);
    this.facts.rank.textContent = `${grouped(place)} of ${grouped(this.shown)}`;
    this.facts.share.textContent = percent(this.share(i));
    this.facts.squared.textContent = fixed(set.squared[set.q ? 0 : this.digit][i], 1);
    this.plane.touch();
  }

  point(z, how) {
    if (!this.weights) return;
    let best = 0, least = Infinity;
    for (let i = 0; i < this.shown; i++) {
      const [a, b] = this.set_.z[i], d = (a - z[0]) ** 2 + (b - z[1]) ** 2;
      if (d < least) { least = d; best = i; }
    }
    if (how === "set") { this.rank = this.order.indexOf(best); this.hover = -1; this.announceDraw(); }
    else this.hover = best;
    this.pick();
  }

  step(by) {
    if (!this.weights) return;
    this.hover = -1;
    this.rank = Math.min(this.shown - 1, Math.max(0, this.rank + by));
    this.plane.follow(this.set_.z[this.chosen()]);
    this.pick();
    this.announceDraw();
  }

  announceDraw() {
    const i = this.chosen();
    this.say(`draw ${grouped(this.rank + 1)} by weight, z ${pair(this.set_.z[i])}, ${percent(this.share(i))} of the estimate`);
  }

  drawBase(ctx) {
    const { plane, theme, set_: set } = this;
    plane.grid(ctx, theme);
    plane.circles(ctx, theme);
    if (this.weights) {
      const radius = this.shown > 3000 ? 0.9 : 1.4;
      ctx.fillStyle = theme.muted;
      ctx.globalAlpha = this.shown > 3000 ? 0.5 : 0.7;
      for (let i = 0; i < this.shown; i++) {
        const [x, y] = plane.toPixel(set.z[i]);
        ctx.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
      }
      if (set.q) for (const k of [1, 2]) plane.ellipse(ctx, set.q.mean, set.q.sigma, k, theme.classes[2]);
      ctx.fillStyle = theme.classes[1];
      ctx.strokeStyle = theme.panel;
      ctx.lineWidth = 1;
      ctx.globalAlpha = 0.75;
      for (const i of this.order) {
        const share = this.share(i);
        if (share < DRAW_SHOWN) break;
        ctx.beginPath();
        ctx.arc(...plane.toPixel(set.z[i]), Math.max(1.6, DRAW_LARGEST * Math.sqrt(share)), 0, 2 * Math.PI);
        ctx.fill();
        ctx.stroke();
      }
      ctx.globalAlpha = 1;
    }
    plane.numbers(ctx, theme);
  }

  drawOverlay(ctx) {
    if (!this.weights) return;
    const i = this.chosen(), radius = Math.max(6, DRAW_LARGEST * Math.sqrt(this.share(i)) + 3);
    this.plane.ring(ctx, this.set_.z[i], radius, this.theme.fg, this.theme);
  }

  drawChart(ctx) {
    if (!this.weights) return;
    const { chart, theme } = this, xs = this.running.map(([n]) => n), ys = this.running.map(([, v]) => v);
    const { value } = this.known();
    chart.rule(ctx, "y", value, theme.accent);
    chart.line(ctx, xs, ys, theme.classes[1]);
    // On the left: on the right it would lie under the handle.
    ctx.textAlign = "left";
    ctx.textBaseline = "bottom";
    chart.text(ctx, "log P(X)", chart.inner.left + 5, chart.py(value) - 3, theme.accent);
  }
}

function render({ model, el }) {
  const payload = model.get("payload");
  return frame(model, el, "Sampling explorer", async (root, undo) => {
    const decoder = new Decoder(await loadBlob(model, payload.decoder.sha), payload.decoder);
    const bytes = new Uint8Array(await loadBlob(model, payload.digits)), size = payload.shape[0] * payload.shape[1];
    // Through float32, as the book's pixels are.
    const digits = payload.labels.map((_, k) =>
      Float64Array.from(bytes.subarray(k * size, (k + 1) * size), (byte) => Math.fround(byte / 255)));
    const sampler = new Sampler(root, model, { payload, decoder, digits }, undo);
    // For tests and the curious: what the page computes, callable from the console.
    root.parentElement.__vae = {
      sampler,
      state: () => ({
        digit: sampler.digit, sigma: sampler.sigma, n: sampler.n, proposal: sampler.proposal, seed: sampler.seed,
        ready: sampler.ready, estimate: sampler.estimate, effective: sampler.effective, carry: sampler.carry,
        rank: sampler.rank, known: sampler.known().value,
        weights: Array.from(sampler.weights ?? []), z: sampler.set_.z.slice(0, sampler.shown),
      }),
    };
  });
}

export default { render };
