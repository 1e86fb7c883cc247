// DrawAndEncode: draw a digit, see its posterior, its reconstruction and its ELBO.

const FINE = 5; // cells of the drawing along one pixel of the image
const BRUSH = 1.25; // radius of the brush, in pixels
const SOFT = 0.9; // width of its soft edge, in pixels
const UNDO = 40;
const LN2 = Math.LN2;

// ---------------------------------------------------------------- the drawing

// Ink on a fine grid, FINE cells a pixel, and what the encoder sees of it. Kept as numbers and
// never read back from a canvas, which some browsers blur on purpose.
class Drawing {
  constructor([height, width]) {
    Object.assign(this, { height, width, rows: height * FINE, cols: width * FINE });
    this.ink = new Float32Array(this.rows * this.cols);
    this.exact = null; // the bytes of a loaded digit, until it is drawn on
    this.past = [];
  }

  remember() {
    this.past.push([this.ink.slice(), this.exact]);
    if (this.past.length > UNDO) this.past.shift();
  }

  undo() {
    if (!this.past.length) return false;
    [this.ink, this.exact] = this.past.pop();
    return true;
  }

  clear() { this.ink.fill(0); this.exact = null; }

  load(bytes) {
    this.exact = Uint8Array.from(bytes);
    for (let r = 0; r < this.rows; r++) for (let c = 0; c < this.cols; c++) {
      this.ink[r * this.cols + c] = bytes[Math.floor(r / FINE) * this.width + Math.floor(c / FINE)] / 255;
    }
  }

  // A soft round dab at (x, y) in pixels; overlapping dabs keep the darker ink.
  dab(x, y) {
    this.exact = null;
    const reach = BRUSH + SOFT / 2;
    const clip = (v, top) => Math.min(top, Math.max(0, v));
    const [c0, c1] = [clip(Math.floor((x - reach) * FINE), this.cols), clip(Math.ceil((x + reach) * FINE), this.cols)];
    const [r0, r1] = [clip(Math.floor((y - reach) * FINE), this.rows), clip(Math.ceil((y + reach) * FINE), this.rows)];
    for (let r = r0; r < r1; r++) for (let c = c0; c < c1; c++) {
      const d = Math.hypot((c + 0.5) / FINE - x, (r + 0.5) / FINE - y);
      const t = Math.min(1, Math.max(0, (BRUSH + SOFT / 2 - d) / SOFT));
      const at = r * this.cols + c;
      this.ink[at] = Math.max(this.ink[at], t * t * (3 - 2 * t));
    }
  }

  stroke([x0, y0], [x1, y1]) {
    const steps = Math.max(1, Math.ceil(Math.hypot(x1 - x0, y1 - y0) / 0.3));
    for (let k = 1; k <= steps; k++) this.dab(x0 + (x1 - x0) * k / steps, y0 + (y1 - y0) * k / steps);
  }

  // What the encoder sees, a byte a pixel. A loaded digit is passed on bit by bit.
  pixels(asMnist) {
    if (this.exact) return this.exact;
    const box = asMnist ? this.mnistBox() : null;
    const [left, top, scale] = box ?? [0, 0, FINE]; // scale: cells along one pixel
    const sum = this.integral(), { cols } = this;
    const at = (x, y) => { // integral up to a fractional cell, by bilinear interpolation
      const cx = Math.min(this.cols, Math.max(0, x)), cy = Math.min(this.rows, Math.max(0, y));
      const c = Math.min(this.cols - 1, Math.floor(cx)), r = Math.min(this.rows - 1, Math.floor(cy));
      const u = cx - c, v = cy - r, i = r * (cols + 1) + c, j = i + cols + 1;
      return (1 - v) * ((1 - u) * sum[i] + u * sum[i + 1]) + v * ((1 - u) * sum[j] + u * sum[j + 1]);
    };
    const out = new Uint8Array(this.height * this.width);
    for (let r = 0; r < this.height; r++) for (let c = 0; c < this.width; c++) {
      const x0 = left + c * scale, y0 = top + r * scale, x1 = x0 + scale, y1 = y0 + scale;
      const mean = (at(x1, y1) - at(x0, y1) - at(x1, y0) + at(x0, y0)) / (scale * scale);
      out[r * this.width + c] = Math.round(255 * Math.min(1, Math.max(0, mean)));
    }
    return out;
  }

  // Sums of all ink above and left of each cell corner: the mean over any box in four reads.
  integral() {
    const { rows, cols, ink } = this, sum = new Float64Array((rows + 1) * (cols + 1));
    for (let r = 0; r < rows; r++) {
      let line = 0;
      for (let c = 0; c < cols; c++) {
        line += ink[r * cols + c];
        sum[(r + 1) * (cols + 1) + c + 1] = sum[r * (cols + 1) + c + 1] + line;
      }
    }
    return sum;
  }

  // As MNIST was made: the digit's longer side fills 20 of 28 pixels, and its centre of mass
  // comes to the middle of pixel 14, counted from 0. That is half a pixel beyond the middle of the
  // image, and so it is in the data: the 10,000 test digits average 13.99 and 14.01.
  mnistBox() {
    let [c0, c1, r0, r1] = [Infinity, -1, Infinity, -1], mass = 0, mx = 0, my = 0;
    for (let r = 0; r < this.rows; r++) for (let c = 0; c < this.cols; c++) {
      const v = this.ink[r * this.cols + c];
      if (v < 0.1) continue;
      c0 = Math.min(c0, c); c1 = Math.max(c1, c); r0 = Math.min(r0, r); r1 = Math.max(r1, r);
      mass += v; mx += v * (c + 0.5); my += v * (r + 0.5);
    }
    if (mass === 0) return null;
    const box = (20 / 28) * Math.min(this.width, this.height);
    // A dot is not blown up to fill the box.
    const scale = Math.max(c1 - c0 + 1, r1 - r0 + 1, 4 * FINE) / box;
    return [mx / mass - (this.width / 2 + 0.5) * scale, my / mass - (this.height / 2 + 0.5) * scale, scale];
  }
}

// The surface the drawing is made on, by mouse, finger, pen or keys.
class Pad {
  constructor(parent, drawing, handlers) {
    Object.assign(this, { drawing, handlers });
    this.box = node("div", { className: "vw-pad", style: `aspect-ratio: ${drawing.width} / ${drawing.height}` }, parent);
    this.canvas = node("canvas", {
      tabIndex: 0, role: "application", "aria-roledescription": "drawing pad",
      "aria-label": "Drawing pad. Arrow keys move the pen, space puts it down or lifts it.",
    }, this.box);
    this.canvas.width = drawing.cols * 4;
    this.canvas.height = drawing.rows * 4;
    this.cursor = null; // the pen moved by keys, in pixels
    this.down = false;
    const on = (name, handler) => this.canvas.addEventListener(name, handler);
    on("pointerdown", (event) => {
      if (event.button > 0) return;
      event.preventDefault();
      this.canvas.focus({ preventScroll: true });
      this.canvas.setPointerCapture(event.pointerId);
      this.lift();
      this.last = this.place(event);
      drawing.remember();
      drawing.dab(...this.last);
      handlers.drawn();
    });
    on("pointermove", (event) => {
      if (!this.last) return;
      for (const each of event.getCoalescedEvents?.() ?? [event]) this.to(this.place(each));
      if (event.getCoalescedEvents && !event.getCoalescedEvents().length) this.to(this.place(event));
      handlers.drawn();
    });
    for (const name of ["pointerup", "pointercancel"]) on(name, () => { this.last = null; });
    on("keydown", (event) => this.key(event));
    on("blur", () => { this.lift(); this.paint(); });
  }

  to(place) { this.drawing.stroke(this.last, place); this.last = place; }

  lift() { this.down = false; this.cursor = null; }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * this.drawing.width,
      (event.clientY - box.top) / box.height * this.drawing.height];
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { drawing } = this, arrow = ARROWS[event.key];
    const here = this.cursor ?? [drawing.width / 2, drawing.height / 2];
    if (arrow) {
      const step = event.shiftKey ? 4 : 1;
      const next = [Math.min(drawing.width, Math.max(0, here[0] + arrow[0] * step)),
        Math.min(drawing.height, Math.max(0, here[1] - arrow[1] * step))];
      if (this.down) { drawing.stroke(here, next); this.handlers.drawn(); }
      this.cursor = next;
      this.handlers.say(`Pen ${this.down ? "down" : "up"}, column ${Math.round(next[0])}, row ${Math.round(next[1])}`);
    } else if (event.key === " ") {
      this.down = !this.down;
      this.cursor = here;
      if (this.down) { drawing.remember(); drawing.dab(...here); this.handlers.drawn(); }
      this.handlers.say(this.down ? "Pen down" : "Pen up");
    } else if (!this.handlers.key(event.key.toLowerCase())) return;
    event.preventDefault();
    this.paint();
  }

  paint(theme = this.theme) {
    this.theme = theme;
    const { canvas, drawing } = this, ctx = canvas.getContext("2d");
    const k = canvas.width / drawing.width;
    ctx.clearRect(0, 0, canvas.width, canvas.height);
    ctx.strokeStyle = theme.line;
    ctx.lineWidth = 2;
    ctx.setLineDash([6, 8]);
    const inset = 4 / 28 * Math.min(drawing.width, drawing.height) * k;
    ctx.strokeRect(inset, inset, canvas.width - 2 * inset, canvas.height - 2 * inset);
    ctx.setLineDash([]);
    drawDigit(ctx, drawing.ink, [drawing.rows, drawing.cols], 0, 0, Math.max(canvas.width, canvas.height), theme.fg, true);
    if (!drawing.ink.some(Boolean)) {
      ctx.fillStyle = theme.muted;
      ctx.font = `${Math.round(canvas.width / 22)}px system-ui, sans-serif`;
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      ctx.fillText("Draw here", canvas.width / 2, canvas.height / 2);
    }
    if (!this.cursor) return;
    ctx.beginPath();
    ctx.arc(this.cursor[0] * k, this.cursor[1] * k, BRUSH * k, 0, 2 * Math.PI);
    ctx.strokeStyle = theme.accent;
    ctx.lineWidth = this.down ? 5 : 2.5;
    ctx.stroke();
  }
}

// ---------------------------------------------------------------- the numbers

// log P(x|z) in nats from the decoder's output, as vae_core.distributions defines it.
const LOG_PROB = {
  gaussian(x, output, { link, sigma }) {
    let squared = 0;
    for (let i = 0; i < x.length; i++) squared += (x[i] - ACTIVATIONS[link](output[i])) ** 2;
    const n = x.length;
    return -squared / (2 * sigma * sigma) - n * Math.log(sigma) - (n / 2) * Math.log(2 * Math.PI);
  },
  bernoulli(x, output) {
    let total = 0;
    for (let i = 0; i < x.length; i++) {
      const o = output[i];
      total += x[i] * o - Math.max(o, 0) - Math.log1p(Math.exp(-Math.abs(o)));
    }
    return total;
  },
};

class Posterior {
  constructor(encoder, decoder, likelihood) { Object.assign(this, { encoder, decoder, likelihood }); }

  // Pixels as the model takes them: grey in [0, 1], or black and white for Bernoulli pixels.
  input(bytes) {
    const binary = this.likelihood.kind === "bernoulli";
    return Float32Array.from(bytes, (v) => (binary ? Number(v >= 127.5) : v / 255));
  }

  encode(x) {
    const out = this.encoder.forward(x);
    return { mean: [out[0], out[1]], logSigma: [out[2], out[3]] };
  }

  sample({ mean, logSigma }, noise) { return mean.map((m, i) => m + Math.exp(logSigma[i]) * noise[i]); }

  kl({ mean, logSigma }) {
    return mean.map((m, i) => (Math.exp(2 * logSigma[i]) + m * m - 1) / 2 - logSigma[i]);
  }

  logProb(x, z) {
    return LOG_PROB[this.likelihood.kind](x, this.decoder.mlp.forward(z), this.likelihood);
  }
}

function gaussianPair() {
  const radius = Math.sqrt(-2 * Math.log(1 - Math.random())), angle = 2 * Math.PI * Math.random();
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

// ---------------------------------------------------------------- the widget

class Studio {
  constructor(root, model, parts, undo) {
    Object.assign(this, parts); // spec, posterior, codes, shelf
    Object.assign(this, { root, model });
    this.shape = this.spec.shape;
    this.theme = THEMES[isDark(root) ? "dark" : "light"];
    this.drawing = new Drawing(this.shape);
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
    this.pad = new Pad(panel, this.drawing, {
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
    const shelf = node("div", { className: "vw-shelf", role: "group", "aria-label": "Digits of the test set" }, panel);
    this.shelved = this.shelf.map(({ label: name, pixels }) => {
      const entry = button(shelf, "", () => this.load(pixels), {
        "aria-label": `Load a test digit, ${name}`, "aria-pressed": "false", title: `Test digit, ${name}`,
      });
      const canvas = node("canvas", { width: 56, height: 56 }, entry);
      return { entry, canvas, pixels };
    });
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

  resample() { this.setNoise(gaussianPair()); this.traits.push({ noise: [...this.noise] }); }

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
    for (const { entry, canvas, pixels } of this.shelved) {
      entry.setAttribute("aria-pressed", String(now.bytes.every((v, i) => v === pixels[i])));
      if (canvas.dataset.ink === theme.fg) continue;
      canvas.dataset.ink = theme.fg;
      const ctx = canvas.getContext("2d");
      ctx.clearRect(0, 0, 56, 56);
      drawDigit(ctx, Float32Array.from(pixels, (v) => v / 255), this.shape, 0, 0, 56, theme.fg);
    }
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
    const { plane, now } = this;
    this.drawPosterior(ctx, plane);
    this.drawLens(ctx, this.lensFactor(now.q));
  }

  drawPosterior(ctx, plane) {
    const { theme, now: { q, z } } = this, sigma = q.logSigma.map(Math.exp);
    for (const k of [2, 1]) {
      plane.ellipse(ctx, q.mean, sigma, k, theme.panel, 4);
      plane.ellipse(ctx, q.mean, sigma, k, theme.fg, k === 1 ? 2 : 1.25);
    }
    ctx.fillStyle = theme.accent;
    ctx.beginPath();
    ctx.arc(...plane.toPixel(z), 3, 0, 2 * Math.PI);
    ctx.fill();
  }

  // The largest round factor at which two standard deviations still fit the lens.
  lensFactor({ logSigma }) {
    const room = 0.4 * this.lensSize() / (2 * Math.exp(Math.max(...logSigma)) * this.plane.scale);
    return [100, 50, 20, 10, 5, 2, 1].find((k) => k <= room) ?? 1;
  }

  lensSize() { return Math.round(0.36 * this.plane.size); }

  // A magnifier in the corner farthest from the posterior.
  drawLens(ctx, factor) {
    const { plane, theme, now: { q } } = this, side = this.lensSize(), gap = 10;
    const [x, y] = plane.toPixel(q.mean), far = plane.size - side - gap;
    const left = x > plane.size / 2 ? gap + 18 : far, top = y > plane.size / 2 ? gap : far - 14;
    const lens = Object.create(plane, {
      size: { value: side },
      ratio: { value: plane.ratio },
      view: { value: { x: q.mean[0], y: q.mean[1], reach: plane.view.reach * side / plane.size / factor } },
    });
    const half = side / factor / 2;
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1;
    ctx.strokeRect(x - half, y - half, 2 * half, 2 * half);
    ctx.beginPath();
    const edge = [x > plane.size / 2 ? left + side : left, y > plane.size / 2 ? top + side : top];
    ctx.moveTo(x + (x > plane.size / 2 ? -half : half), y + (y > plane.size / 2 ? -half : half));
    ctx.lineTo(...edge);
    ctx.stroke();
    ctx.save();
    ctx.translate(left, top);
    ctx.beginPath();
    ctx.roundRect(0, 0, side, side, 8);
    ctx.fillStyle = theme.bg;
    ctx.fill();
    ctx.save();
    ctx.clip();
    this.drawLensCodes(ctx, lens);
    this.drawPosterior(ctx, lens);
    ctx.restore();
    ctx.beginPath();
    ctx.roundRect(0, 0, side, side, 8);
    ctx.lineWidth = 1;
    ctx.strokeStyle = theme.muted;
    ctx.stroke();
    ctx.font = "600 11px system-ui, sans-serif";
    ctx.textAlign = "left";
    ctx.textBaseline = "top";
    plane.text(ctx, `× ${factor}`, 8, 7, theme.fg, { panel: theme.bg });
    ctx.textAlign = "right";
    ctx.textBaseline = "bottom";
    plane.text(ctx, "1σ, 2σ", side - 8, side - 6, theme.muted, { panel: theme.bg });
    ctx.restore();
  }

  drawLensCodes(ctx, lens) {
    const { codes, theme } = this, { x, y, reach } = lens.view;
    for (let i = 0; i < codes.count; i++) {
      if (Math.abs(codes.x[i] - x) > reach || Math.abs(codes.y[i] - y) > reach) continue;
      const label = codes.labels[i], out = this.classKey.out;
      ctx.globalAlpha = out < 0 ? 0.6 : label === out ? 0.9 : 0.15;
      drawClassMark(ctx, label, ...lens.toPixel(codes.at(i)), 3, classColor(theme, label));
    }
    ctx.globalAlpha = 1;
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
    const posterior = new Posterior(encoder, decoder, spec.likelihood);
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
