// Opening: a digit, its code on the map, the picture of any code; and draws from the prior.

const SHEET_COLUMNS = 10;
const SHEET_CELL = 56; // of its canvas, along one digit

// The first stroke on a digit that was loaded begins a new one.
class FirstStrokes extends InkDrawing {
  dab(x, y) {
    if (this.exact) this.ink.fill(0);
    super.dab(x, y);
  }
}

// What one model paints of the draws, in rows; and how a classifier reads many more of them.
class Sheet {
  constructor(opening, parent, part) {
    Object.assign(this, { opening, part });
    const count = opening.draws.length;
    const figure = node("figure", { className: "vw-sheet" }, parent);
    node("div", { className: "vw-title", textContent: part.name }, figure);
    this.canvas = node("canvas", {
      tabIndex: 0, role: "application", "aria-roledescription": "sheet of pictures",
      "aria-label": `${part.name}: pictures of ${count} draws from the prior. Arrow keys choose one.`,
    }, figure);
    this.rows = Math.ceil(count / SHEET_COLUMNS);
    this.canvas.width = SHEET_COLUMNS * SHEET_CELL;
    this.canvas.height = this.rows * SHEET_CELL;
    this.canvas.addEventListener("pointerdown", (event) => this.point(event));
    this.canvas.addEventListener("pointermove", (event) => { if (event.buttons) this.point(event); });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    const counts = opening.counts?.[part.name];
    if (counts) this.bars(figure, counts);
  }

  // Ten bars, to one scale for all models.
  bars(figure, counts) {
    const { classes } = this.opening, all = Object.values(this.opening.counts);
    const most = Math.max(1, ...all.flat()), sum = counts.reduce((a, b) => a + b);
    const said = classes.map((name, k) => `${counts[k]} as ${name}`).join(", ");
    const caption = node("figcaption", {}, figure);
    caption.textContent = `${sum.toLocaleString("en")} draws, as a classifier reads them`;
    const row = node("div", { className: "vw-tally", role: "img", "aria-label": `Of ${sum} draws a classifier reads ${said}` }, figure);
    classes.forEach((name, k) => {
      const column = node("div", { ariaHidden: "true" }, row);
      node("span", { textContent: counts[k], className: "vw-count" }, column);
      const bar = node("i", {}, column);
      bar.style.height = `${Math.max(1, Math.round(44 * counts[k] / most))}px`;
      bar.style.background = `var(--vw-class-${k % 10})`;
      const label = node("b", { textContent: name }, column);
      label.insertAdjacentHTML("afterbegin", `<svg viewBox="-1.4 -1.4 2.8 2.8" aria-hidden="true"><path d="${CLASS_MARKS[k % CLASS_MARKS.length]}"/></svg>`);
      label.style.fill = `var(--vw-class-${k % 10})`;
    });
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    const along = (at, size, cells) => Math.min(cells - 1, Math.max(0, Math.floor((at / size) * cells)));
    const column = along(event.clientX - box.left, box.width, SHEET_COLUMNS);
    const row = along(event.clientY - box.top, box.height, this.rows);
    this.choose(row * SHEET_COLUMNS + column);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -SHEET_COLUMNS, ArrowDown: SHEET_COLUMNS }[event.key];
    if (!by && event.key !== "Enter") return;
    event.preventDefault();
    const count = this.opening.draws.length, { picked } = this.opening;
    this.choose(picked < 0 ? 0 : (picked + (by ?? 0) + count) % count);
  }

  choose(k) {
    if (k < this.opening.draws.length) this.opening.pick(this.part, k);
  }

  paint() {
    const { opening, part, canvas } = this, { theme, picked } = opening, ctx = canvas.getContext("2d");
    ctx.clearRect(0, 0, canvas.width, canvas.height);
    opening.draws.forEach((z, k) => {
      const x = (k % SHEET_COLUMNS) * SHEET_CELL, y = Math.floor(k / SHEET_COLUMNS) * SHEET_CELL;
      this.frame = part.decoder.mean(z, this.frame);
      drawDigit(ctx, this.frame, opening.shape, x, y, SHEET_CELL, theme.fg, true);
      if (k !== picked) return;
      ctx.strokeStyle = theme.accent;
      ctx.lineWidth = 4;
      ctx.strokeRect(x + 2, y + 2, SHEET_CELL - 4, SHEET_CELL - 4);
    });
  }
}

class OpeningView {
  constructor(root, model, parts, undo) {
    Object.assign(this, parts); // shape, classes, parts, shelf, counts
    Object.assign(this, { root, model });
    this.theme = THEMES[isDark(root) ? "dark" : "light"];
    this.part = this.named(model.get("model_name")) ?? this.parts.at(-1);
    this.drawing = new FirstStrokes(this.shape);
    this.drawing.load(model.get("pixels"));
    this.draws = model.get("draws").map((z) => [...z]);
    this.picked = -1;
    this.drawsShown = false; // on the map, once somebody has asked for them
    this.hover = null;
    this.point = [...model.get("z")];
    this.build();
    this.say = announcer(root);
    this.traits = traits(model, ["z", "model_name", "pixels", "draws"], (name, value) => this.pull(name, value));
    undo.push(() => { this.traits.close(); this.plane.close(); });
    this.encode();
    undo.push(followTheme(root, (theme) => { this.theme = theme; this.repaint(); }));
  }

  named(name) { return this.parts.find((part) => part.name === name); }

  get z() { return this.hover ?? this.point; }

  // ------------------------------------------------------------ layout

  build() {
    const flow = this.flow = node("div", { className: "vw-flow" }, this.root);
    const cell = (className, title) => {
      const panel = node("div", { className }, flow);
      const head = node("div", { className: "vw-head" }, panel);
      node("div", { className: "vw-title", textContent: title }, head);
      return [panel, head];
    };
    this.buildPad(...cell("vw-in", "Draw a digit"));
    this.buildPlane(...cell("vw-map", "Encoder: a point"));
    this.buildPicture(...cell("vw-out", "Decoder: a picture"));
    for (const [className, text] of [["vw-enc", "encoder"], ["vw-dec", "decoder"]]) {
      node("div", { className: `vw-arrow ${className}`, textContent: text, "aria-hidden": "true" }, flow);
    }
    this.buildDraws(node("div", { className: "vw-prior" }, this.root));
    keysHelp(this.root, [
      ["pointer", "on the map, decode what is under it; click or drag to stay there"],
      ["arrows", "on the map, move the point, with Shift five times as far; on the pad, move the pen; on a sheet, choose a picture"],
      ["0 – 9", "on the map, go to the middle of that digit’s codes"],
      ["space", "on the pad, put the pen down or lift it"],
      ["u, c, n", "on the pad, undo, clear, next digit"],
      ["+, −, Home", "on the map, zoom in, zoom out, whole map; with fingers, pinch"],
    ]);
  }

  buildPad(panel) {
    this.pad = new DigitPad(panel, this.drawing, {
      drawn: () => this.drawn(),
      say: (text) => this.say(text),
      key: (key) => {
        const action = { u: () => this.undo(), c: () => this.clear(), n: () => this.next() }[key];
        action?.();
        return Boolean(action);
      },
    });
    const tools = node("div", { className: "vw-tools" }, panel);
    button(tools, "Clear", () => this.clear(), { title: "Key C" });
    button(tools, "Another", () => this.next(), { title: "Another test digit (key N)", "aria-label": "Another test digit" });
  }

  buildPlane(panel, head) {
    choice(head, "Model", this.parts.map(({ name }) => [name, name]), this.part.name, (name) => this.change(this.named(name)));
    this.plane = new Plane(panel, {
      label: "Map of the codes. Arrow keys move the point whose picture is shown.",
      home: this.part.codes.extent(),
      handlers: {
        base: (ctx) => this.drawBase(ctx),
        overlay: (ctx) => this.drawOverlay(ctx),
        point: (z, how) => { if (how === "hover") { this.hover = z; this.refresh(); } else this.move(z); },
        // Wherever it is pressed, the point comes, and follows.
        grab: (at) => { this.move(this.plane.toPlane(at)); return {}; },
        drag: (_, z) => this.move(z),
        leave: () => { if (this.hover) { this.hover = null; this.refresh(); } },
        step: ([dx, dy]) => {
          const z = [this.point[0] + dx, this.point[1] + dy];
          this.plane.follow(z);
          this.move(z);
        },
        focus: () => this.point,
        key: (event) => this.key(event),
      },
    });
    // Here the wheel scrolls the page: the map is small, and has other ways to be zoomed.
    this.plane.box.addEventListener("wheel", (event) => event.stopPropagation(), { capture: true });
  }

  buildPicture(panel) {
    this.figure = digitFigure(panel, "", this.shape);
  }

  buildDraws(panel) {
    const head = node("div", { className: "vw-bar" }, panel);
    button(head, `Draw ${this.draws.length} from the prior`, () => this.again(), { className: "vw-again" });
    node("p", {
      className: "vw-note",
      textContent: this.parts.length > 1
        ? "Random points, the same for each model: what does it make of them?"
        : "Random points: what does the model make of them?",
    }, head);
    const sheets = node("div", { className: "vw-sheets" }, panel);
    this.sheets = this.parts.map((part) => new Sheet(this, sheets, part));
  }

  // ------------------------------------------------------------ acting

  undo() { if (this.drawing.undo()) this.drawn(); }

  clear() { this.drawing.remember(); this.drawing.clear(); this.drawn(); }

  next() {
    const now = this.drawing.pixels(true);
    const at = this.shelf.findIndex(({ pixels }) => now.every((v, i) => v === pixels[i]));
    this.drawing.remember();
    this.drawing.load(this.shelf[(at + 1) % this.shelf.length].pixels);
    this.pad.lift();
    this.drawn();
  }

  // The code of what the pad holds, in the map that is shown.
  encode() {
    this.seen = this.drawing.pixels(true);
    const out = this.part.encoder.forward(Float32Array.from(this.seen, (v) => v / 255));
    this.code = [out[0], out[1]];
  }

  drawn() {
    this.encode();
    this.traits.push({ pixels: Array.from(this.seen) });
    this.pad.paint(this.theme);
    this.plane.follow(this.code);
    this.move([...this.code]);
  }

  move(z, picked = -1) {
    this.hover = null;
    this.point = z;
    this.show(picked);
    this.refresh();
    this.traits.push({ z: [...z] });
    this.announce();
  }

  show(picked) {
    if (picked === this.picked) return;
    this.picked = picked;
    this.sheets.forEach((sheet) => sheet.paint());
  }

  // The other map: the same draw from the prior there, or else the digit's code there.
  change(part, tell = true) {
    if (part === this.part) return;
    this.part = part;
    [...this.root.querySelectorAll(".vw-map .vw-choice button")].forEach((b) => b.setOn(b.textContent === part.name));
    this.plane.setHome(part.codes.extent());
    this.encode();
    if (tell) this.traits.push({ model_name: part.name });
    this.move(this.picked < 0 ? [...this.code] : [...this.draws[this.picked]], this.picked);
  }

  pick(part, k) {
    this.picked = k;
    this.drawsShown = true;
    this.change(part);
    this.plane.follow(this.draws[k]);
    this.sheets.forEach((sheet) => sheet.paint());
    this.move([...this.draws[k]], k);
  }

  again() {
    this.drawsShown = true;
    this.draws = this.draws.map(() => normalPair());
    this.traits.push({ draws: this.draws.map((z) => [...z]) });
    this.picked = -1;
    this.sheets.forEach((sheet) => sheet.paint());
    this.plane.touch();
    this.say(`${this.draws.length} new draws from the prior`);
  }

  key(event) {
    const at = this.classes.indexOf(event.key);
    if (at < 0 || !this.part.codes.medians[at].every(Number.isFinite)) return false;
    const z = [...this.part.codes.medians[at]];
    this.plane.follow(z);
    this.move(z);
    return true;
  }

  // A trait set in Python.
  pull(name, value) {
    if (name === "model_name") { const part = this.named(value); if (part) this.change(part, false); }
    else if (name === "z") { this.plane.follow(value); this.hover = null; this.point = [...value]; this.show(-1); this.refresh(); }
    else if (name === "pixels") { this.drawing.remember(); this.drawing.load(value); this.drawn(); }
    else {
      this.draws = value.map((z) => [...z]);
      this.picked = -1;
      this.sheets.forEach((sheet) => sheet.paint());
      this.plane.touch();
    }
  }

  announce() {
    this.say(`${this.part.name}: the point ${pair(this.point)}, nearest test digit ${this.nearLabel()}`);
  }

  nearLabel() { return this.classes[this.part.codes.labels[this.near.index]]; }

  // ------------------------------------------------------------ showing

  refresh() {
    const { part, z } = this;
    this.pixels = part.decoder.mean(z, this.pixels);
    this.near = part.codes.nearest(z);
    const name = this.nearLabel();
    this.figure.show(this.pixels, this.theme, `Picture decoded at ${pair(z)}, near test digits of class ${name}`);
    this.figure.caption.textContent = `at ${pair(z)}, nearest test digit: ${name}`;
    this.flow.toggleAttribute("data-away", z.some((v, i) => Math.abs(v - this.code[i]) > 1e-3));
    this.plane.touch();
  }

  repaint() {
    if (!this.sheets) return;
    this.pad.paint(this.theme);
    this.plane.redraw();
    this.sheets.forEach((sheet) => sheet.paint());
    this.refresh();
  }

  drawBase(ctx) {
    const { plane, theme, part: { codes } } = this;
    plane.grid(ctx, theme);
    plane.points(ctx, codes, theme, { alpha: 0.45 });
    plane.circles(ctx, theme);
    plane.classLabels(ctx, codes, this.classes, theme);
  }

  drawOverlay(ctx) {
    const { plane, theme } = this;
    if (this.drawsShown) this.draws.forEach((z, k) => {
      ctx.beginPath();
      ctx.arc(...plane.toPixel(z), k === this.picked ? 4.5 : 3, 0, 2 * Math.PI);
      ctx.fillStyle = theme.fg;
      ctx.strokeStyle = theme.panel;
      ctx.lineWidth = 2.5;
      ctx.stroke();
      ctx.fill();
    });
    plane.ring(ctx, this.code, 9, theme.accent, theme);
    plane.crosshair(ctx, this.z, theme);
  }
}

function render({ model, el }) {
  const spec = model.get("payload");
  return frame(model, el, "A VAE at a glance", async (root, undo) => {
    const labels = new Uint8Array(await loadBlob(model, spec.labels)), parts = [];
    for (const one of spec.models) {
      parts.push({
        name: one.name,
        decoder: new Decoder(await loadBlob(model, one.decoder.sha), one.decoder),
        encoder: new MLP(await loadBlob(model, one.encoder.sha), one.encoder),
        codes: new Codes(await loadBlob(model, one.codes.sha), one.codes.scale, labels, spec.classes.length),
      });
    }
    const bytes = new Uint8Array(await loadBlob(model, spec.digits.sha)), n = spec.shape[0] * spec.shape[1];
    const shelf = spec.digits.labels.map((label, k) => ({ label, pixels: bytes.subarray(k * n, (k + 1) * n) }));
    const { shape, classes, counts } = spec;
    const view = new OpeningView(root, model, { shape, classes, counts, parts, shelf }, undo);
    const named = (name) => view.named(name) ?? view.part;
    // For tests and the curious: what the page computes, callable from the console.
    root.parentElement.__vae = {
      view,
      decode: (z, name) => Array.from(named(name).decoder.mean(z)),
      encode: (x, name) => Array.from(named(name).encoder.forward(x).slice(0, 2)),
      nearest: (z, name) => named(name).codes.nearest(z),
      state: () => ({
        model_name: view.part.name, z: view.z, code: view.code, pixels: Array.from(view.seen),
        decoded: Array.from(view.pixels), draws: view.draws, picked: view.picked,
        painted: view.draws.map((z) => view.parts.map((part) => Array.from(part.decoder.mean(z)))),
      }),
    };
  });
}

export default { render };
