// PipelineExplorer: a digit on its way through a VAE and back, and the two terms of its loss.

const PIPE_GLIDE = 350; // milliseconds in which a new draw of z is reached
const PIPE_SHELF = 10; // test digits to choose from
const PIPE_REACH = 300; // nats that the bars span, doubled until the loss fits
const PIPE_TERMS = {
  reconstruction: ["−log P(X|z)", "reconstruction: how badly z explains the pixels of X"],
  kl: ["𝒟[Q(z|X) ‖ P(z)]", "divergence: how far Q(z|X) lies from the prior"],
  loss: ["loss = −ELBO", "their sum, which training makes small"],
};

// One network: its shape, and its hidden units as they are for this digit.
class PipeNet {
  constructor(parent, area, name, sizes) {
    this.box = node("div", { className: `vw-pipe-net vw-pipe-${area}` }, parent);
    node("div", { className: "vw-title", textContent: name }, this.box);
    this.shape = node("div", { className: "vw-pipe-shape" }, this.box);
    this.canvas = node("canvas", { role: "img", "aria-label": `${name}, its hidden units` }, this.shape);
    node("div", { className: "vw-pipe-sizes", textContent: sizes.join(" → ") }, this.box);
  }

  // Wide where the digit goes down (on a phone), high where it goes to the right.
  show(units, theme) {
    const flat = this.shape.clientWidth > this.shape.clientHeight, n = units.length;
    const cols = Math.max(1, Math.round(Math.sqrt(flat ? 2.5 * n : n / 2.5))), rows = Math.max(1, Math.ceil(n / cols));
    const cell = 8, ctx = this.canvas.getContext("2d");
    [this.canvas.width, this.canvas.height] = [cols * cell, rows * cell];
    this.canvas.style.aspectRatio = `${cols} / ${rows}`;
    const most = Math.max(1e-9, ...units.map(Math.abs));
    ctx.fillStyle = theme.fg;
    units.forEach((value, k) => {
      ctx.globalAlpha = 0.08 + 0.92 * Math.abs(value) / most;
      ctx.fillRect((k % cols) * cell + 1, Math.floor(k / cols) * cell + 1, cell - 2, cell - 2);
    });
  }
}

class Pipeline {
  constructor(root, model, parts, undo) {
    Object.assign(this, parts); // spec, posterior, codes, shelf
    Object.assign(this, { root, model });
    this.shape = this.spec.shape;
    this.theme = THEMES[isDark(root) ? "dark" : "light"];
    this.drawing = new InkDrawing(this.shape);
    this.drawing.load(model.get("pixels"));
    this.noise = [...model.get("noise")];
    this.build();
    this.say = announcer(root);
    this.traits = traits(model, ["pixels", "noise"], (name, value) => this.pull(name, value));
    const sizer = new ResizeObserver(() => this.showNets());
    sizer.observe(this.nets.encoder.shape);
    undo.push(() => {
      cancelAnimationFrame(this.gliding);
      sizer.disconnect();
      this.traits.close();
      this.plane.close();
    });
    this.compute();
    undo.push(followTheme(root, (theme) => { this.theme = theme; this.repaint(); }));
  }

  build() {
    const pipe = this.pipe = node("div", { className: "vw-pipe" }, this.root);
    this.buildInput(node("div", { className: "vw-pipe-x" }, pipe));
    const layers = (mlp) => [mlp.layers[0].cols, ...mlp.layers.map((layer) => layer.rows)];
    const encoder = layers(this.posterior.encoder), decoder = layers(this.posterior.decoder.mlp);
    this.nets = {
      encoder: new PipeNet(pipe, "encoder", "Encoder", [...encoder.slice(0, -1), "μ, σ"]),
      decoder: new PipeNet(pipe, "decoder", "Decoder", ["z", ...decoder.slice(1)]),
    };
    this.buildCode(node("div", { className: "vw-pipe-z" }, pipe));
    this.buildOutput(node("div", { className: "vw-pipe-out" }, pipe));
    this.buildLoss(node("div", { className: "vw-pipe-loss" }, this.root));
    keysHelp(this.root, [
      ["mouse, finger", "draw on the pad"],
      ["arrows", "on the pad, move the pen by one pixel, with Shift by four"],
      ["space", "on the pad, put the pen down or lift it"],
      ["u, c", "on the pad, undo, clear"],
      ["s", "on the pad, draw z again"],
    ]);
  }

  buildInput(panel) {
    const head = node("div", { className: "vw-head" }, panel);
    node("div", { className: "vw-title", textContent: "A digit X" }, head);
    button(head, "Clear", () => this.clear(), { title: "Key C" });
    this.pad = new DigitPad(panel, this.drawing, {
      drawn: () => this.changed(),
      say: (text) => this.say(text),
      key: (key) => {
        const action = { u: () => this.undo(), c: () => this.clear(), s: () => this.resample() }[key];
        action?.();
        return Boolean(action);
      },
    });
    this.shelved = new DigitShelf(panel, this.shelf, this.shape, (pixels) => this.load(pixels));
    node("p", { className: "vw-pipe-note", textContent: "Choose a digit, or draw one." }, panel);
  }

  buildCode(panel) {
    const head = node("div", { className: "vw-head" }, panel);
    node("div", { className: "vw-title", textContent: "μ, σ and z" }, head);
    button(head, "Draw again", () => this.resample(), { title: "Another z from Q(z|X). Key S on the pad" });
    this.plane = new Plane(panel, {
      label: "", home: this.codes.extent(),
      handlers: { base: (ctx) => this.drawBase(ctx), overlay: (ctx) => this.drawOverlay(ctx) },
    });
    // A picture here, not a place to move about in: a finger on it scrolls the page.
    const { canvas } = this.plane;
    for (const name of ["tabindex", "aria-roledescription"]) canvas.removeAttribute(name);
    canvas.setAttribute("role", "img");
    canvas.style.pointerEvents = "none";
    const facts = node("dl", { className: "vw-pipe-facts" }, panel);
    const fact = (term) => {
      node("dt", { textContent: term }, facts);
      return node("dd", {}, facts);
    };
    this.facts = { mean: fact("μ"), sigma: fact("σ"), noise: fact("ε, drawn from N(0, I)"), z: fact("z = μ + σ · ε") };
  }

  buildOutput(panel) {
    const head = node("div", { className: "vw-head" }, panel);
    node("div", { className: "vw-title", textContent: "A digit X̂" }, head);
    this.figures = {
      out: digitFigure(panel, this.binary ? "P(X|z): how probable ink is, in each pixel" : "P(X|z): the mean of each pixel", this.shape),
      seen: digitFigure(panel, `X, as it went in`, this.shape),
    };
    this.figures.seen.figure.classList.add("vw-pipe-seen");
  }

  buildLoss(panel) {
    const table = node("table", { className: "vw-pipe-bars", "aria-label": "The loss of this digit, in nats" }, panel);
    const body = node("tbody", {}, table);
    this.bars = Object.fromEntries(Object.entries(PIPE_TERMS).map(([key, [name, what]]) => {
      const row = node("tr", { className: `vw-pipe-${key}` }, body);
      const head = node("th", { scope: "row" }, row);
      node("span", { className: "vw-pipe-name", textContent: name }, head);
      node("span", { className: "vw-pipe-what", textContent: what }, head);
      // What a term compares is outlined while its row is pointed at.
      row.addEventListener("pointerenter", () => { this.pipe.dataset.lit = key; });
      row.addEventListener("pointerleave", () => { delete this.pipe.dataset.lit; });
      const track = node("div", { className: "vw-pipe-track" }, node("td", { "aria-hidden": "true" }, row));
      const pieces = (key === "loss" ? ["reconstruction", "kl"] : [key])
        .map((piece) => node("div", { className: `vw-pipe-bar vw-pipe-is-${piece}` }, track));
      return [key, { pieces, number: node("td", { className: "vw-pipe-number" }, row) }];
    }));
  }

  // ------------------------------------------------------------ acting

  get binary() { return this.spec.likelihood.kind === "bernoulli"; }

  undo() { if (this.drawing.undo()) this.changed(); }

  clear() { this.drawing.remember(); this.drawing.clear(); this.changed(); }

  load(pixels) { this.drawing.remember(); this.drawing.load(pixels); this.pad.lift(); this.changed(); }

  resample() {
    const to = normalPair();
    this.traits.push({ noise: to });
    this.glide(to);
  }

  // z moves to where it was drawn, so that one sees that nothing else has changed.
  glide(to) {
    cancelAnimationFrame(this.gliding);
    const from = this.noise, began = performance.now();
    const step = () => {
      const part = reducedMotion() ? 1 : Math.min(1, (performance.now() - began) / PIPE_GLIDE);
      const eased = part * part * (3 - 2 * part);
      this.noise = part === 1 ? [...to] : from.map((value, i) => value + eased * (to[i] - value));
      this.compute();
      this.repaint();
      if (part < 1) this.gliding = requestAnimationFrame(step);
      else this.announce();
    };
    step();
  }

  changed() {
    this.compute();
    this.repaint();
    this.traits.push({ pixels: Array.from(this.now.bytes) });
    this.announce();
  }

  // A trait set in Python.
  pull(name, value) {
    cancelAnimationFrame(this.gliding);
    if (name === "pixels") this.load(value);
    else {
      this.noise = [...value];
      this.compute();
      this.repaint();
      this.announce();
    }
  }

  compute() {
    const bytes = this.drawing.pixels(true), x = this.posterior.input(bytes);
    const q = this.posterior.encode(x), z = this.posterior.sample(q, this.noise);
    const kl = this.posterior.kl(q).reduce((a, b) => a + b), reconstruction = this.posterior.logProb(x, z);
    const hidden = ({ layers }) => Array.from(layers.at(-2)?.out ?? []);
    const out = this.posterior.decoder.mean(z);
    this.now = {
      bytes, x, q, z, kl, reconstruction, elbo: reconstruction - kl, out,
      units: { encoder: hidden(this.posterior.encoder), decoder: hidden(this.posterior.decoder.mlp) },
    };
  }

  // The reconstruction as the loss less the divergence, all rounded: what is read adds up.
  rounded() {
    const cents = (value) => Math.round(100 * value) / 100, loss = cents(-this.now.elbo), kl = cents(this.now.kl);
    return { reconstruction: loss - kl, kl, loss };
  }

  announce() {
    const { q, z } = this.now, { reconstruction, kl, loss } = this.rounded();
    this.say(`Mean ${pair(q.mean)}, draw ${pair(z)}. Loss ${fixed(loss, 2)} nats: reconstruction ${fixed(reconstruction, 2)} `
      + `plus divergence ${fixed(kl, 2)}`);
  }

  // ------------------------------------------------------------ showing

  repaint() {
    const { now, theme, figures } = this, { q } = now;
    this.pad.paint(theme);
    figures.out.show(now.out, theme, "What the decoder makes of z");
    figures.seen.show(now.x, theme, "X as it went into the encoder");
    this.facts.mean.textContent = pair(q.mean);
    this.facts.sigma.textContent = pair(q.logSigma.map(Math.exp));
    this.facts.noise.textContent = pair(this.noise);
    this.facts.z.textContent = pair(now.z);
    this.plane.canvas.setAttribute("aria-label", `Plane of codes: Q(z|X) with mean ${pair(q.mean)} and standard deviation `
      + `${pair(q.logSigma.map(Math.exp))}, among the codes of the test digits; the draw z at ${pair(now.z)}`);
    this.showNets();
    this.showBars();
    this.shelved.paint(now.bytes, theme);
    if (this.painted === theme) this.plane.touch();
    else { this.painted = theme; this.plane.redraw(); }
  }

  showNets() {
    for (const [name, net] of Object.entries(this.nets)) net.show(this.now.units[name], this.theme);
  }

  // One scale for the three bars; the second begins where the first ends.
  showBars() {
    const terms = this.rounded();
    let reach = PIPE_REACH;
    while (reach < terms.loss) reach *= 2;
    const share = (value) => `${100 * Math.max(0, value) / reach}%`;
    for (const [key, { pieces, number }] of Object.entries(this.bars)) {
      number.textContent = `${fixed(terms[key], 2)} nats`;
      pieces.forEach((piece, k) => {
        const own = key === "loss" ? ["reconstruction", "kl"][k] : key;
        piece.style.width = share(terms[own]);
        piece.style.marginInlineStart = key === "kl" ? share(terms.reconstruction) : "0";
      });
    }
  }

  drawBase(ctx) {
    const { plane, theme, codes } = this;
    plane.grid(ctx, theme);
    plane.points(ctx, codes, theme, { alpha: 0.22, radius: 1.3 });
    plane.circles(ctx, theme);
    plane.classLabels(ctx, codes, this.spec.classes, theme);
  }

  drawOverlay(ctx) {
    const { plane, theme, now: { q, z } } = this;
    drawCode(ctx, plane, theme, q, z);
    drawCodeLens(ctx, plane, theme, q, (lens) => {
      drawLensCodes(ctx, lens, theme, this.codes);
      drawCode(ctx, lens, theme, q, z);
    }, 0.42);
  }
}

function render({ model, el }) {
  const spec = model.get("payload");
  return frame(model, el, "A VAE at work", async (root, undo) => {
    const decoder = new Decoder(await loadBlob(model, spec.decoder.sha), spec.decoder);
    const encoder = new MLP(await loadBlob(model, spec.encoder.sha), spec.encoder);
    const labels = new Uint8Array(await loadBlob(model, spec.labels));
    const codes = new Codes(await loadBlob(model, spec.codes.sha), spec.codes.scale, labels, spec.classes.length);
    const bytes = new Uint8Array(await loadBlob(model, spec.digits.sha)), n = spec.shape[0] * spec.shape[1];
    const shelf = spec.digits.labels.slice(0, PIPE_SHELF).map((label, k) => ({
      label: spec.classes[label], pixels: bytes.subarray(k * n, (k + 1) * n),
    }));
    const posterior = new DigitPosterior(encoder, decoder, spec.likelihood);
    const pipeline = new Pipeline(root, model, { spec, posterior, codes, shelf }, undo);
    // For tests and the curious: what the page computes, callable from the console.
    root.parentElement.__vae = {
      pipeline,
      state() {
        const { bytes: pixels, q, z, kl, reconstruction, elbo } = pipeline.now;
        return {
          pixels: Array.from(pixels), mean: q.mean, log_sigma: q.logSigma, z, kl, reconstruction, elbo,
          noise: pipeline.noise,
        };
      },
    };
  });
}

export default { render };
