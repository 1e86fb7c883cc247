// SigmaExplorer: models that differ in sigma alone, on one latent plane, with their curve.

// One trained model: what it decodes, and the posterior of every test digit.
class SigmaModel {
  constructor(spec, decoder, codes, spreads) {
    Object.assign(this, spec, { decoder, codes, spreads });
  }

  posterior(digit) { return { mean: this.codes.at(digit), sigma: this.spreads.at(digit) }; }
}

class SigmaPage {
  constructor(root, model, parts, undo) {
    Object.assign(this, parts); // models, atlas, classes, shape, pixels
    this.root = root;
    this.show = "codes";
    this.hover = null; // where the mouse passes
    this.index = this.indexOf(model.get("sigma"));
    this.digit = model.get("digit");
    this.point = [...model.get("z")];
    this.tiles = new Map(); // a plane full of decoded digits for each model: they are kept
    this.theme = THEMES[isDark(root) ? "dark" : "light"];
    const grid = node("div", { className: "vw-sigma" }, root);
    this.buildPlane(node("div", {}, grid));
    this.buildSide(node("div", {}, grid));
    this.buildHelp();
    this.say = announcer(root);
    this.traits = traits(model, ["sigma", "digit", "z"], (name, value) => this.pull(name, value));
    undo.push(() => { this.traits.close(); this.plane.close(); this.chart.close(); });
    undo.push(followTheme(root, (theme) => { this.theme = theme; this.chart.setTheme(theme); this.refresh(true); }));
  }

  get now() { return this.models[this.index]; }
  get z() { return this.hover ?? this.point; }

  indexOf(sigma) {
    const away = this.models.map((each) => Math.abs(each.sigma - sigma));
    return away.indexOf(Math.min(...away));
  }

  // ------------------------------------------------------------ layout

  buildPlane(parent) {
    const head = node("div", { className: "vw-head" }, parent);
    this.title = node("div", { className: "vw-title" }, head);
    // One square for all models, so that codes which shrink are seen to shrink. The smallest sigma
    // throws some codes far out: a share of them may lie outside, lest all others shrink to a spot.
    const homes = this.models.map((each) => each.codes.extent(0.05));
    const reach = Math.max(...homes.map((h) => Math.max(Math.abs(h.x), Math.abs(h.y)) + h.reach));
    this.plane = new Plane(parent, {
      label: "Latent plane. Arrow keys move the point that is decoded.",
      home: { x: 0, y: 0, reach },
      handlers: {
        base: (ctx) => this.drawBase(ctx),
        overlay: (ctx) => this.drawOverlay(ctx),
        point: (z, how) => this.move(z, how),
        step: ([dx, dy]) => {
          const z = [this.point[0] + dx, this.point[1] + dy];
          this.plane.follow(z);
          this.move(z, "set");
        },
        leave: () => { this.hover = null; this.refresh(); this.traits.push({ z: [...this.point] }); },
        focus: () => this.point,
        key: (event) => this.key(event),
      },
    });
    this.plane.zoomButtons(head);
    this.classKey = new ClassKey(node("div", { className: "vw-bar", style: "margin: 8px 0 0" }, parent), this.classes, {
      onOut: () => this.plane.redraw(),
      say: (text) => this.say(text),
      describe: (k) => `median code ${pair(this.now.codes.medians[k], 1)}`,
    });
    const bar = node("div", { className: "vw-bar", style: "margin-top: 10px" }, parent);
    choice(bar, "Shown in the plane", [["codes", "Codes"], ["decodes", "Grid"]], this.show,
      (value) => { this.show = value; this.plane.redraw(); });
    button(bar, "Another digit", () => this.setDigit((this.digit + 1) % this.now.codes.count), { title: "Key N" });
  }

  buildSide(parent) {
    const last = this.models.length - 1;
    this.slide = labelled(parent, "σ", {
      min: 0, max: last, step: 1, value: this.index, format: (k) => fixed(this.models[k].sigma, 2),
    }, (k) => this.setIndex(k));
    const row = node("div", { className: "vw-sigma-row" }, parent);
    this.original = digitFigure(row, "test digit", this.shape);
    this.decoded = digitFigure(row, "decoded at the point", this.shape);
    this.numbers = readout(parent, [
      ["rate", "rate, nats", "D[Q || P], mean over the test digits"],
      ["error", "squared error", "summed over pixels, mean over the test digits"],
      ["elbo", "−ELBO, nats", "with this σ and its constant"],
      ["best", "√(error per pixel)", "the σ that would be best for these two networks"],
      ["active", "active latents", "with more than 0.01 nats"],
    ]);
    const rates = this.models.map((each) => each.rate), errors = this.models.map((each) => each.error);
    const wide = Math.max(...rates), low = Math.min(...errors), high = Math.max(...errors);
    this.chart = new Chart(parent, {
      label: "Squared error against rate", x: [-0.04 * wide, 1.06 * wide],
      y: [low - 0.12 * (high - low), high + 0.12 * (high - low)], aspect: 0.72,
      xLabel: "rate, nats", yLabel: "squared error",
      handlers: {
        draw: (ctx, chart) => this.drawCurve(ctx, chart),
        point: (at, how) => { if (at && how === "set") this.setIndex(this.nearestDot(at)); },
      },
    });
  }

  buildHelp() {
    const details = keysHelp(this.root, [
      ["pointer", "decode what is under it; click to stay there"],
      ["arrows", "on the plane, move the point; on the slider, change σ"],
      ["[ and ]", "on the plane, the next smaller or larger σ"],
      ["n", "another test digit"],
      ["+, −, Home", "zoom in, zoom out, whole plane; drag to pan"],
      ["curve", "click a dot to take its σ"],
      CLASS_KEY_HELP,
    ]);
    node("p", {
      className: "vw-note",
      textContent: "Circles: 1, 2 and 3 standard deviations of the prior. The ellipse: the test digit’s "
        + "posterior at one standard deviation, on the plane’s own scale. The dashed line through the "
        + "chosen dot has the slope −2σ².",
    }, details);
  }

  // ------------------------------------------------------------ drawing

  drawBase(ctx) {
    const { plane, theme, now } = this;
    if (this.show === "decodes") this.drawTiles(ctx);
    plane.grid(ctx, theme);
    if (this.show === "codes") plane.points(ctx, now.codes, theme, { out: this.classKey.out, alpha: 0.75, radius: 2 });
    plane.circles(ctx, theme);
    plane.numbers(ctx, theme);
    // Where a latent has collapsed all codes lie on a line or a spot: names pushed apart would tell of
    // places that do not exist.
    if (this.show === "codes" && now.active > 1) {
      plane.classLabels(ctx, now.codes, this.classes, theme, this.classKey.out);
    }
  }

  // Decoded a few at a time, so that the page stays responsive; the next redraw goes on.
  drawTiles(ctx) {
    const { plane, now } = this, { x, y, reach } = plane.view;
    const side = Math.max(8, Math.round(plane.size / 27)), tile = plane.size / side;
    const key = [this.index, x, y, reach, side].join();
    if (!this.tiles.has(key)) {
      if (this.tiles.size > 24) this.tiles.clear();
      this.tiles.set(key, []);
    }
    const done = this.tiles.get(key), start = performance.now();
    while (done.length < side * side && performance.now() - start < 14) {
      const i = done.length % side, j = Math.floor(done.length / side);
      done.push(now.decoder.mean(plane.toPlane([(i + 0.5) * tile, (j + 0.5) * tile])));
    }
    done.forEach((pixels, k) => {
      drawDigit(ctx, pixels, this.shape, (k % side) * tile, Math.floor(k / side) * tile, tile, this.theme.fg, true);
    });
    if (done.length < side * side) setTimeout(() => plane.redraw(), 0);
  }

  drawOverlay(ctx) {
    const { plane, theme, now, digit } = this;
    if (digit >= 0) {
      const { mean, sigma } = now.posterior(digit), color = classColor(theme, now.codes.labels[digit]);
      plane.ellipse(ctx, mean, sigma, 1, theme.panel, 4);
      plane.ellipse(ctx, mean, sigma, 1, color, 2);
      plane.ring(ctx, mean, 3.5, color, theme);
    }
    plane.crosshair(ctx, this.z, theme);
  }

  drawCurve(ctx, chart) {
    const { theme, now, models } = this;
    const rates = models.map((each) => each.rate), errors = models.map((each) => each.error);
    chart.line(ctx, rates, errors, theme.muted, { width: 1.5 });
    const slope = -2 * now.sigma ** 2, ends = chart.x;
    chart.line(ctx, ends, ends.map((r) => now.error + slope * (r - now.rate)), theme.accent, { dash: [5, 4], width: 1.5 });
    chart.dots(ctx, rates, errors, theme.fg, { radius: 4 });
    chart.dots(ctx, [now.rate], [now.error], theme.accent, { radius: 8 });
    ctx.textBaseline = "bottom";
    // Dots lie close where sigma is large: the chosen one's name is always there, others if free.
    const taken = [];
    for (const k of [this.index, ...models.keys()]) {
      const { sigma, rate, error } = models[k], right = chart.px(rate) > chart.inner.left + 0.8 * chart.inner.width;
      const x = chart.px(rate) + (right ? -9 : 9), y = chart.py(error) - 4;
      if (taken.some(([a, b]) => Math.abs(a - x) < 62 && Math.abs(b - y) < 15)) continue;
      taken.push([x, y]);
      ctx.textAlign = right ? "right" : "left";
      chart.text(ctx, `σ = ${fixed(sigma, 2)}`, x, y, k === this.index ? theme.accent : theme.muted);
    }
  }

  nearestDot([x, y]) {
    const at = this.chart.toPixel([x, y]);
    const away = this.models.map(({ rate, error }) => {
      const [px, py] = this.chart.toPixel([rate, error]);
      return Math.hypot(px - at[0], py - at[1]);
    });
    return away.indexOf(Math.min(...away));
  }

  // ------------------------------------------------------------ acting

  refresh(still = false) {
    const { now, theme, z, digit } = this;
    this.pixelsNow = now.decoder.mean(z, this.pixelsNow);
    this.decoded.show(this.pixelsNow, theme, `Digit decoded at ${pair(z)} with sigma ${fixed(now.sigma, 2)}`);
    const label = digit >= 0 ? this.classes[now.codes.labels[digit]] : "";
    this.original.show(digit >= 0 ? this.atlas.digit(digit) : null, theme, digit >= 0 ? `Test digit, a ${label}` : "No test digit chosen");
    this.title.textContent = `Codes at σ = ${fixed(now.sigma, 2)}`;
    this.numbers.set({
      rate: fixed(now.rate, 2), error: fixed(now.error, 2), elbo: fixed(now.negative_elbo, 1),
      best: fixed(Math.sqrt(now.error / this.pixels), 3), active: `${now.active} of 2`,
    });
    this.chart.describe(
      `Squared error against rate, ${this.models.length} models; chosen: sigma ${fixed(now.sigma, 2)}, `
      + `rate ${fixed(now.rate, 2)} nats, squared error ${fixed(now.error, 2)}`,
    );
    if (still) { this.plane.redraw(); this.chart.redraw(); } else this.plane.touch();
  }

  // The hover point is told too: whoever watches z in Python sees what the page shows.
  move(z, how) {
    if (how === "set") {
      this.point = [...z];
      this.hover = null;
      this.digit = this.now.codes.nearest(z).index;
      this.traits.push({ digit: this.digit });
    } else this.hover = z;
    this.refresh();
    this.traits.push({ z: [...z] });
    if (how === "set") this.announce();
  }

  // Another model has put the digit elsewhere: the point goes with it.
  toDigit() {
    this.hover = null;
    if (this.digit < 0) return;
    this.point = this.now.codes.at(this.digit);
    this.plane.follow(this.point);
  }

  setIndex(index, tell = true) {
    this.index = index;
    this.slide.show(index);
    this.toDigit();
    this.refresh(true);
    if (!tell) return;
    this.traits.push({ sigma: this.now.sigma, z: [...this.point] });
    this.announce();
  }

  setDigit(digit, tell = true) {
    this.digit = digit;
    this.toDigit();
    this.refresh();
    if (!tell) return;
    this.traits.push({ digit, z: [...this.point] });
    this.announce();
  }

  key(event) {
    const by = { "[": -1, "]": 1 }[event.key];
    if (by) this.setIndex(Math.min(this.models.length - 1, Math.max(0, this.index + by)));
    else if (event.key.toLowerCase() === "n") this.setDigit((this.digit + 1) % this.now.codes.count);
    else return false;
    return true;
  }

  announce() {
    const { now } = this;
    this.say(`sigma ${fixed(now.sigma, 2)}: rate ${fixed(now.rate, 2)} nats, squared error ${fixed(now.error, 2)}, `
      + `${now.active} active latents; z ${pair(this.point)}`);
  }

  // A trait set in Python.
  pull(name, value) {
    if (name === "sigma") this.setIndex(this.indexOf(value), false);
    else if (name === "digit") this.setDigit(value, false);
    else { this.point = [...value]; this.hover = null; this.plane.follow(value); this.refresh(); }
  }
}

function render({ model, el }) {
  const spec = model.get("payload");
  return frame(model, el, "Sigma explorer", async (root, undo) => {
    const labels = new Uint8Array(await loadBlob(model, spec.labels)), { classes, shape, pixels } = spec;
    const atlas = new Atlas(await loadBlob(model, spec.atlas));
    const read = async ({ sha, scale }) => new Codes(await loadBlob(model, sha), scale, labels, classes.length);
    const models = [];
    for (const each of spec.models) {
      const decoder = new Decoder(await loadBlob(model, each.decoder.sha), each.decoder);
      models.push(new SigmaModel(each, decoder, await read(each.codes), await read(each.spreads)));
    }
    const page = new SigmaPage(root, model, { models, atlas, classes, shape, pixels }, undo);
    // For tests and the curious: what the page computes, callable from the console.
    root.parentElement.__vae = {
      page,
      decode: (z, k) => Array.from(models[k].decoder.mean(z)),
      posterior: (digit, k) => models[k].posterior(digit),
      state: () => ({
        sigma: page.now.sigma, index: page.index, digit: page.digit, z: page.z, decoded: Array.from(page.pixelsNow),
        rate: page.now.rate, error: page.now.error, negative_elbo: page.now.negative_elbo, active: page.now.active,
      }),
    };
  });
}

export default { render };
