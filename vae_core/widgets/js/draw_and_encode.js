// DrawAndEncode: draw a digit, see its posterior, its reconstruction and its ELBO.

const LN2 = Math.LN2;

// ---------------------------------------------------------------- the widget

class Studio {
  constructor(root, model, parts, undo) {
    Object.assign(this, parts); // spec, posterior, codes, shelf
    Object.assign(this, { root, model });
    this.shape = this.spec.shape;
    this.theme = THEMES[isDark(root) ? "dark" : "light"];
    this.drawing = new InkDrawing(this.shape);
    this.drawing.load(model.get("pixels"));
    this.noise = [...model.get("noise")];
    this.asMnist = true;
    this.build();
    this.say = announcer(root);
    this.traits = traits(model, ["pixels", "noise"], (name, value) => this.pull(name, value));
    undo.push(() => { clearTimeout(this.later); this.traits.close(); this.plane.close(); });
    this.compute();
    undo.push(followTheme(root, (theme) => { this.theme = theme; this.repaint(); }));
  }

  build() {
    const split = node("div", { className: "vw-split" }, this.root);
    const left = node("div", { className: "vw-panel" }, split);
    const right = node("div", { className: "vw-panel" }, split);
    this.buildPad(node("div", {}, left));
    this.buildTable(node("div", { className: "vw-late" }, left));
    this.buildPlane(node("div", {}, right));
    this.buildPictures(node("div", { className: "vw-block" }, right));
    this.buildNote(node("div", { className: "vw-late" }, right));
    this.buildHelp();
  }

  buildPad(panel) {
    const head = node("div", { className: "vw-head" }, panel);
    node("div", { className: "vw-title", textContent: "Draw a digit" }, head);
    const right = node("div", { className: "vw-bar", style: "margin: 0; gap: 6px" }, head);
    button(right, "Undo", () => this.undo(), { title: "Key U" });
    button(right, "Clear", () => this.clear(), { title: "Key C" });
    this.pad = new DigitPad(panel, this.drawing, {
      drawn: () => this.changed(),
      say: (text) => this.say(text),
      key: (key) => {
        const action = { u: () => this.undo(), c: () => this.clear(), s: () => this.resample() }[key];
        action?.();
        return Boolean(action);
      },
    });
    const tools = node("div", { className: "vw-tools" }, panel);
    const label = node("label", { className: "vw-check" }, tools);
    const box = node("input", { type: "checkbox", checked: true }, label);
    label.append("Centre and scale as MNIST does");
    box.addEventListener("change", () => { this.asMnist = box.checked; this.changed(); });
    this.shelved = new DigitShelf(panel, this.shelf, this.shape, (pixels) => this.load(pixels));
  }

  buildPlane(panel) {
    const head = node("div", { className: "vw-head" }, panel);
    node("div", { className: "vw-title", textContent: "Its posterior Q(z|X)" }, head);
    this.plane = new Plane(panel, {
      label: "Latent plane with the posterior of the drawing. Arrow keys move the view, plus and minus zoom.",
      home: this.codes.extent(),
      handlers: {
        base: (ctx) => this.drawBase(ctx),
        overlay: (ctx) => this.drawOverlay(ctx),
        step: ([dx, dy]) => {
          const { x, y, reach } = this.plane.view;
          this.plane.setView({ x: x + dx * 4, y: y + dy * 4, reach });
          this.say(`View centred at ${pair([x + dx * 4, y + dy * 4])}`);
        },
        focus: () => this.now.q.mean,
        key: (event) => event.key.toLowerCase() === "s" && (this.resample(), true),
      },
    });
    this.plane.zoomButtons(head);
    this.classKey = new ClassKey(node("div", { className: "vw-bar", style: "margin: 8px 0 0" }, panel), this.spec.classes, {
      onOut: () => this.plane.redraw(),
      say: (text) => this.say(text),
      describe: (k) => `median code ${pair(this.codes.medians[k], 1)}`,
    });
    const facts = node("dl", { className: "vw-facts vw-row" }, panel);
    const fact = (term) => {
      const entry = node("div", {}, facts);
      node("dt", { textContent: term }, entry);
      return node("dd", {}, entry);
    };
    this.facts = { mean: fact("mean μ"), sigma: fact("deviation σ"), near: fact("nearest test digit") };
  }

  buildPictures(parent) {
    const trio = node("div", { className: "vw-trio" }, parent);
    this.figures = {
      seen: digitFigure(trio, "what the encoder sees", this.shape),
      mean: digitFigure(trio, "decoded from the mean μ", this.shape),
      sample: digitFigure(trio, "decoded from a sample z", this.shape),
    };
    const tools = node("div", { className: "vw-tools" }, parent);
    button(tools, "Sample again", () => this.resample(), { title: "Key S" });
    this.drawn = node("span", { className: "vw-note", style: "margin: 0" }, tools);
  }

  buildTable(parent) {
    const table = node("table", { className: "vw-sum" }, parent);
    const head = node("tr", {}, node("thead", {}, table));
    for (const text of ["", "nats", "bits"]) node(text ? "th" : "td", { textContent: text, ...(text && { scope: "col" }) }, head);
    const body = node("tbody", {}, table);
    const row = (name, kind = "") => {
      const line = node("tr", { className: kind }, body);
      node("th", { scope: "row", textContent: name }, line);
      return [node("td", {}, line), node("td", {}, line)];
    };
    this.cells = {
      reconstruction: row("Reconstruction, log P(X|z)"),
      kl: row("KL, 𝒟[Q(z|X) ‖ P(z)]"),
      kl1: row("first dimension", "vw-part"),
      kl2: row("second dimension", "vw-part"),
      elbo: row("ELBO at this z", "vw-total"),
      average: row(`ELBO, mean of ${this.spec.noise.length} z`),
    };
  }

  buildNote(parent) {
    const { kind, sigma } = this.spec.likelihood;
    node("p", {
      className: "vw-note",
      textContent: kind === "gaussian"
        ? `Gaussian pixels with σ = ${fixed(sigma, 3)}: a log density, its bits relative to unit pixels.`
        : "Bernoulli pixels: the drawing is made black and white at 0.5 first.",
    }, parent);
  }

  buildHelp() {
    keysHelp(this.root, [
      ["mouse, finger", "draw on the pad; drag the plane to pan"],
      ["arrows", "on the pad, move the pen by one pixel, with Shift by four"],
      ["space", "on the pad, put the pen down or lift it"],
      ["u, c", "undo, clear"],
      ["s", "sample again"],
      CLASS_KEY_HELP,
      ["+, −, Home", "on the plane, zoom in, zoom out, whole plane; arrows move the view"],
    ]);
  }

  // ------------------------------------------------------------ acting

  undo() { if (this.drawing.undo()) this.changed(); }

  clear() { this.drawing.remember(); this.drawing.clear(); this.changed(); }

  load(pixels) { this.drawing.remember(); this.drawing.load(pixels); this.pad.lift(); this.changed(); }

  resample() { this.setNoise(normalPair()); this.traits.push({ noise: [...this.noise] }); }

  setNoise(noise) { this.noise = noise; this.compute(); this.repaint(); this.announce(); }

  changed() {
    this.compute();
    this.repaint();
    this.traits.push({ pixels: Array.from(this.now.bytes) });
    this.announce();
  }

  // A trait set in Python.
  pull(name, value) {
    if (name === "noise") { this.setNoise([...value]); return; }
    this.load(value);
    clearTimeout(this.later);
    this.average();
  }

  compute() {
    const bytes = this.drawing.pixels(this.asMnist), x = this.posterior.input(bytes);
    const q = this.posterior.encode(x), z = this.posterior.sample(q, this.noise);
    const kls = this.posterior.kl(q), kl = kls[0] + kls[1];
    const reconstruction = this.posterior.logProb(x, z);
    this.now = {
      bytes, x, q, z, kls, kl, reconstruction, elbo: reconstruction - kl,
      mean: this.posterior.decoder.mean(q.mean), sample: this.posterior.decoder.mean(z),
      near: this.codes.nearest(q.mean), average: null,
    };
    // 64 decodes take longer than a frame: wait until the hand rests.
    clearTimeout(this.later);
    this.later = setTimeout(() => { this.average(); this.showTable(); }, 120);
  }

  average() {
    const { x, q, kl } = this.now;
    const terms = this.spec.noise.map((noise) => this.posterior.logProb(x, this.posterior.sample(q, noise)));
    this.now.average = terms.reduce((a, b) => a + b) / terms.length - kl;
  }

  announce() {
    const { q, near, elbo } = this.now;
    this.say(`Posterior mean ${pair(q.mean)}, nearest test digit ${this.spec.classes[this.codes.labels[near.index]]}, `
      + `ELBO ${fixed(elbo, 1)} nats`);
  }

  // ------------------------------------------------------------ showing

  repaint() {
    const { now, theme, figures } = this, { q } = now;
    this.pad.paint(theme);
    figures.seen.show(now.x, theme, "What the encoder sees");
    figures.mean.show(now.mean, theme, "Digit decoded from the posterior mean");
    figures.sample.show(now.sample, theme, "Digit decoded from a sample of the posterior");
    this.facts.mean.textContent = pair(q.mean);
    this.facts.sigma.textContent = pair(q.logSigma.map(Math.exp), 3);
    const name = this.spec.classes[this.codes.labels[now.near.index]];
    this.facts.near.textContent = `${name}, at ${fixed(now.near.distance, 2)}`;
    this.drawn.textContent = `z = ${pair(now.z)}`;
    this.showTable();
    this.shelved.paint(now.bytes, theme);
    if (this.painted === theme) this.plane.touch();
    else { this.painted = theme; this.plane.redraw(); }
  }

  showTable() {
    const { now, cells } = this;
    const put = ([nats, bits], value, places = 2) => {
      nats.textContent = value === null ? "…" : fixed(value, places);
      bits.textContent = value === null ? "…" : fixed(value / LN2, places);
    };
    put(cells.reconstruction, now.reconstruction);
    put(cells.kl, now.kl);
    put(cells.kl1, now.kls[0]);
    put(cells.kl2, now.kls[1]);
    put(cells.elbo, now.elbo);
    put(cells.average, now.average);
  }

  drawBase(ctx) {
    const { plane, theme, codes } = this;
    plane.grid(ctx, theme);
    plane.points(ctx, codes, theme, { out: this.classKey.out, alpha: 0.28 });
    plane.circles(ctx, theme);
    plane.numbers(ctx, theme);
    plane.classLabels(ctx, codes, this.spec.classes, theme, this.classKey.out);
  }

  drawOverlay(ctx) {
    const { plane, theme, now } = this;
    drawCode(ctx, plane, theme, now.q, now.z);
    drawCodeLens(ctx, plane, theme, now.q, (lens) => {
      drawLensCodes(ctx, lens, theme, this.codes, this.classKey.out);
      drawCode(ctx, lens, theme, now.q, now.z);
    });
  }
}

function render({ model, el }) {
  const spec = model.get("payload");
  return frame(model, el, "Draw and encode", async (root, undo) => {
    const decoder = new Decoder(await loadBlob(model, spec.decoder.sha), spec.decoder);
    const encoder = new MLP(await loadBlob(model, spec.encoder.sha), spec.encoder);
    const labels = new Uint8Array(await loadBlob(model, spec.labels));
    const codes = new Codes(await loadBlob(model, spec.codes.sha), spec.codes.scale, labels, spec.classes.length);
    const bytes = new Uint8Array(await loadBlob(model, spec.digits.sha)), n = spec.shape[0] * spec.shape[1];
    const shelf = spec.digits.labels.map((label, k) => ({
      label: spec.classes[label], pixels: bytes.subarray(k * n, (k + 1) * n),
    }));
    const posterior = new DigitPosterior(encoder, decoder, spec.likelihood);
    const studio = new Studio(root, model, { spec, posterior, codes, shelf }, undo);
    // For tests and the curious: what the page computes, callable from the console.
    root.parentElement.__vae = {
      studio,
      decode: (z) => Array.from(decoder.mean(z)),
      encode: (x) => posterior.encode(x),
      nearest: (z) => codes.nearest(z),
      state() {
        studio.average();
        const { bytes: pixels, q, z, kls, kl, reconstruction, elbo, average, near } = studio.now;
        return {
          pixels: Array.from(pixels), mean: q.mean, log_sigma: q.logSigma, z, kls, kl, reconstruction,
          elbo, average, nearest: codes.labels[near.index], noise: studio.noise,
        };
      },
    };
  });
}

export default { render };
