// ConditionalExplorer: one z in ten classes, and many completions of one digit.

const CONDITIONAL_TRAITS = ["mode", "z", "label", "given", "digit", "seed"];
const CONDITIONAL_MODES = [["classes", "One z, ten classes"], ["completions", "Complete a digit"]];

// What is computed, without the page.
class ConditionalModel {
  constructor(spec, classDecoder, completers, digits) {
    Object.assign(this, { spec, classDecoder, completers, digits, pixels: spec.shape[0] * spec.shape[1] });
    this.input = new Float64Array(2 + spec.classes.length);
  }

  decode(z, label) {
    this.input.fill(0);
    this.input[0] = z[0];
    this.input[1] = z[1];
    this.input[2 + label] = 1;
    return this.classDecoder.mean(this.input);
  }

  // The noise comes through float32, as the book's models take it.
  complete(name, digit, seed) {
    const { decoder, prior, latents, target } = this.completers.get(name), { averaged } = this.spec;
    const truth = this.digits[digit], unknown = new Uint8Array(this.pixels);
    target.forEach((at) => { unknown[at] = 1; });
    const given = Array.from(truth).filter((_, at) => !unknown[at]);
    const source = randomSource(seed), input = new Float64Array(latents + given.length);
    input.set(given, latents);
    // The network's means, then its log sigmas; without one, the prior is N(0, I).
    const head = prior ? Array.from(prior.forward(given)) : new Array(2 * latents).fill(0);
    const every = [], mean = new Float64Array(this.pixels);
    for (let k = 0; k < averaged; k++) {
      for (let i = 0; i < latents; i++) input[i] = head[i] + Math.exp(head[latents + i]) * Math.fround(source.normal());
      const output = decoder.mlp.forward(input), picture = Float64Array.from(truth);
      // A network of all pixels says too much; one of the pixels to predict, just enough.
      const all = output.length === this.pixels;
      target.forEach((at, j) => { picture[at] = decoder.link(output[all ? at : j]); });
      picture.forEach((p, at) => { mean[at] += p / averaged; });
      every.push(picture);
    }
    const undecided = (p) => p.reduce((sum, v) => sum + 4 * v * (1 - v), 0);
    const single = every.reduce((sum, p) => sum + undecided(p) / averaged, 0);
    return { every, mean, unknown, single, together: undecided(mean) };
  }
}

class ConditionalPage {
  constructor(root, model, maths, undo) {
    Object.assign(this, { root, maths, spec: maths.spec });
    this.values = Object.fromEntries(CONDITIONAL_TRAITS.map((name) => [name, model.get(name)]));
    this.hover = null;
    this.theme = THEMES[isDark(root) ? "dark" : "light"];
    const bar = node("div", { className: "vw-bar" }, root);
    this.modes = choice(bar, "What is given", CONDITIONAL_MODES, this.values.mode, (mode) => this.set({ mode }));
    this.buildClasses(node("div", { className: "vw-cond" }, root));
    this.buildCompletions(node("div", { className: "vw-cond-complete" }, root));
    this.buildHelp();
    this.say = announcer(root);
    this.traits = traits(model, CONDITIONAL_TRAITS, (name, value) => this.set({ [name]: value }, false));
    undo.push(() => { this.traits.close(); this.plane.close(); });
    undo.push(followTheme(root, (theme) => { this.theme = theme; this.plane.redraw(); this.refresh(); }));
  }

  // ------------------------------------------------------------ layout

  buildClasses(parent) {
    this.classes = parent;
    const left = node("div", { className: "vw-panel" }, parent);
    const head = node("div", { className: "vw-head" }, left);
    node("div", { className: "vw-title", textContent: "z" }, head);
    this.plane = new Plane(left, {
      label: "Latent plane. Arrow keys move z; a digit key chooses a class.",
      home: { x: 0, y: 0, reach: 3.4 },
      handlers: {
        base: (ctx, plane) => { plane.grid(ctx, this.theme); plane.circles(ctx, this.theme); plane.numbers(ctx, this.theme); },
        overlay: (ctx, plane) => plane.crosshair(ctx, this.at, this.theme),
        point: (z, how) => this.move(z, how),
        step: ([dx, dy]) => {
          const z = [this.values.z[0] + dx, this.values.z[1] + dy];
          this.plane.follow(z);
          this.move(z, "set");
        },
        leave: () => { this.hover = null; this.refresh(); },
        focus: () => this.values.z,
        key: (event) => this.key(event),
      },
    });
    this.plane.zoomButtons(head);
    const tools = node("div", { className: "vw-bar vw-cond-tools" }, left);
    button(tools, "Draw z from the prior", () => {
      const source = randomSource(Math.floor(4294967296 * Math.random()));
      this.set({ z: [source.normal(), source.normal()] });
    });
    this.where = node("span", { className: "vw-note" }, tools);
    const right = node("div", { className: "vw-panel" }, parent);
    this.large = digitFigure(right, "", this.spec.shape);
    this.large.figure.classList.add("vw-cond-large");
    const group = node("div", { className: "vw-cond-classes", role: "group", "aria-label": "The class, at the same z" }, right);
    this.buttons = this.spec.classes.map((name, k) => this.picture(group, `Class ${name}`, () => this.set({ label: k }), name));
  }

  // A small picture, which may be a button.
  picture(parent, label, onClick, text = "") {
    const holder = onClick ? button(parent, "", onClick, { "aria-label": label }) : node("div", { className: "vw-cond-still" }, parent);
    const canvas = node("canvas", onClick ? { "aria-hidden": "true" } : { role: "img", "aria-label": label }, holder);
    canvas.width = canvas.height = 4 * Math.max(...this.spec.shape);
    if (text) node("span", { textContent: text }, holder);
    return { holder, canvas };
  }

  buildCompletions(parent) {
    this.completions = parent;
    const shelf = node("div", { className: "vw-cond-shelf", role: "group", "aria-label": "Digit to complete" }, parent);
    this.shelf = this.spec.names.map((name, k) => this.picture(shelf, `Test digit ${k + 1}, a ${name}`, () => this.set({ digit: k })));
    const bar = node("div", { className: "vw-bar" }, parent);
    const names = [...this.maths.completers.keys()];
    this.given = choice(bar, "Given", names.map((name) => [name, name]), this.values.given, (given) => this.set({ given }));
    this.given.classList.add("vw-cond-given");
    button(bar, "Resample", () => this.resample(), { title: "Ten other draws from the prior (key r)" });
    const trio = node("div", { className: "vw-cond-trio" }, parent);
    this.known = digitFigure(trio, "given", this.spec.shape);
    this.mean = digitFigure(trio, `mean of ${this.spec.averaged} completions`, this.spec.shape);
    this.truth = digitFigure(trio, "the digit itself", this.spec.shape);
    this.read = readout(parent, [
      ["single", "undecided pixels in one completion", "the sum of 4p(1 − p), a mean over all completions"],
      ["mean", "in the mean", "the sum of 4p(1 − p) of the mean’s pixels"],
    ]);
    node("div", { className: "vw-title", textContent: "Draws from the prior, each decoded beside the given pixels" }, parent);
    const grid = node("div", { className: "vw-cond-draws" }, parent);
    this.draws = Array.from({ length: this.spec.shown }, (_, k) => this.picture(grid, `Completion ${k + 1}`));
    parent.addEventListener("keydown", (event) => {
      if (event.key.toLowerCase() !== "r" || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.resample();
    });
  }

  buildHelp() {
    const details = keysHelp(this.root, [
      ["pointer", "decode the z under it in every class; click or tap to stay there"],
      ["arrows", "move z; with Shift five times as far"],
      ["0 – 9", "on the plane: show that class large"],
      ["+, −, Home", "zoom in, zoom out, whole plane"],
      ["r", "among the completions: resample"],
    ]);
    node("p", {
      className: "vw-note",
      textContent: "Circles: one, two and three standard deviations of the prior, which is the same for every class. "
        + "A pixel of probability p counts 4p(1 − p) as undecided: 1 at one half, 0 at 0 and 1.",
    }, details);
  }

  // ------------------------------------------------------------ acting

  get at() { return this.hover ?? this.values.z; }

  move(z, how) {
    if (how === "hover") { this.hover = z; this.refresh(); this.traits.push({ z: [...z] }); return; }
    this.set({ z: [...z] });
  }

  set(values, tell = true) {
    Object.assign(this.values, values);
    if ("z" in values) this.hover = null;
    if (tell) this.traits.push(values);
    this.refresh();
    if (!tell) return;
    const { mode, z, label, given, digit } = this.values;
    this.say(mode === "classes"
      ? `z ${pair(z)}, class ${this.spec.classes[label]} shown large`
      : `${given}, digit ${this.spec.names[digit]}: ${fixed(this.now.single, 0)} pixels undecided in one completion, ${fixed(this.now.together, 0)} in the mean`);
  }

  resample() { this.set({ seed: (this.values.seed + 1) % 4294967296 }); }

  key(event) {
    const k = this.spec.classes.indexOf(event.key);
    if (k < 0) return false;
    this.set({ label: k });
    return true;
  }

  put({ canvas }, pixels) {
    const ctx = canvas.getContext("2d");
    ctx.clearRect(0, 0, canvas.width, canvas.height);
    drawDigit(ctx, pixels, this.spec.shape, 0, 0, canvas.width, this.theme.fg);
  }

  refresh() {
    const { mode } = this.values, { theme } = this;
    this.classes.hidden = mode !== "classes";
    this.completions.hidden = mode !== "completions";
    [...this.modes.children].forEach((b, k) => b.setOn(CONDITIONAL_MODES[k][0] === mode));
    if (mode === "classes") this.refreshClasses(theme);
    else this.refreshCompletions(theme);
  }

  refreshClasses(theme) {
    const { label } = this.values, { classes } = this.spec, z = this.at;
    this.decoded = classes.map((_, k) => this.maths.decode(z, k));
    this.buttons.forEach((entry, k) => {
      this.put(entry, this.decoded[k]);
      entry.holder.setAttribute("aria-pressed", String(k === label));
    });
    this.large.show(this.decoded[label], theme, `Class ${classes[label]} decoded at z ${pair(z)}`);
    this.large.caption.textContent = `class ${classes[label]} at this z`;
    this.where.textContent = `z = ${pair(z)}`;
    this.plane.touch();
  }

  refreshCompletions(theme) {
    const { given, digit, seed } = this.values, { spec, maths } = this, truth = maths.digits[digit];
    // One set of draws is decoded once, however often the theme or the digit's frame changes.
    const key = [given, digit, seed].join("|");
    if (this.key_ !== key) { this.key_ = key; this.now = maths.complete(given, digit, seed); }
    const { every, mean, unknown, single, together } = this.now;
    this.shelf.forEach((entry, k) => {
      this.put(entry, maths.digits[k]);
      entry.holder.setAttribute("aria-pressed", String(k === digit));
    });
    [...this.given.children].forEach((b) => b.setOn(b.textContent === given));
    const name = spec.names[digit];
    this.known.show(Float64Array.from(truth, (v, at) => (unknown[at] ? 0 : v)), theme, `A ${name}: ${given}`);
    this.shade(this.known.canvas, unknown);
    this.mean.show(mean, theme, "Mean of the completions");
    this.truth.show(truth, theme, `The whole digit, a ${name}`);
    this.draws.forEach((entry, k) => this.put(entry, every[k]));
    this.read.set({ single: fixed(single, 1), mean: fixed(together, 1) });
  }

  // What is not given is not white paper: it is hatched.
  shade(canvas, unknown) {
    const ctx = canvas.getContext("2d"), [height, width] = this.spec.shape, cell = canvas.width / Math.max(height, width);
    ctx.fillStyle = this.theme.accent;
    ctx.globalAlpha = 0.22;
    unknown.forEach((hidden, at) => {
      if (hidden) ctx.fillRect((at % width) * cell, Math.floor(at / width) * cell, cell, cell);
    });
    ctx.globalAlpha = 1;
  }
}

function render({ model, el }) {
  const spec = model.get("payload");
  return frame(model, el, "Conditional explorer", async (root, undo) => {
    const decoder = new Decoder(await loadBlob(model, spec.decoder.sha), spec.decoder);
    const completers = new Map();
    for (const one of spec.completers) {
      const prior = one.prior && new MLP(await loadBlob(model, one.prior.sha), one.prior);
      completers.set(one.name, { ...one, prior, decoder: new Decoder(await loadBlob(model, one.decoder.sha), one.decoder) });
    }
    const bytes = new Uint8Array(await loadBlob(model, spec.digits)), size = spec.shape[0] * spec.shape[1];
    const digits = spec.names.map((_, k) => bytes.subarray(k * size, (k + 1) * size));
    const maths = new ConditionalModel(spec, decoder, completers, digits);
    const page = new ConditionalPage(root, model, maths, undo);
    // For tests and the curious: what the page computes, callable from the console.
    root.parentElement.__vae = {
      page,
      decode: (z, label) => Array.from(maths.decode(z, label)),
      complete: (name, digit, seed) => {
        const { every, mean, single, together } = maths.complete(name, digit, seed);
        return { every: every.map((p) => Array.from(p)), mean: Array.from(mean), single, together };
      },
      state: () => ({
        ...page.values, z: page.at, decoded: (page.decoded ?? []).map((p) => Array.from(p)),
        mean: Array.from(page.now?.mean ?? []), single: page.now?.single, together: page.now?.together,
      }),
    };
  });
}

export default { render };
