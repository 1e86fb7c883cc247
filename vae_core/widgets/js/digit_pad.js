// A surface on which a digit is drawn, and what an encoder sees of it.

const PAD_FINE = 5; // cells of the drawing along one pixel of the image
const PAD_BRUSH = 1.25; // radius of the brush, in pixels
const PAD_SOFT = 0.9; // width of its soft edge, in pixels
const PAD_UNDO = 40;

// Ink on a fine grid, PAD_FINE cells a pixel, and what the encoder sees of it. Kept as numbers and
// never read back from a canvas, which some browsers blur on purpose.
class InkDrawing {
  constructor([height, width]) {
    Object.assign(this, { height, width, rows: height * PAD_FINE, cols: width * PAD_FINE });
    this.ink = new Float32Array(this.rows * this.cols);
    this.exact = null; // the bytes of a loaded digit, until it is drawn on
    this.past = [];
  }

  remember() {
    this.past.push([this.ink.slice(), this.exact]);
    if (this.past.length > PAD_UNDO) this.past.shift();
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
      this.ink[r * this.cols + c] = bytes[Math.floor(r / PAD_FINE) * this.width + Math.floor(c / PAD_FINE)] / 255;
    }
  }

  // A soft round dab at (x, y) in pixels; overlapping dabs keep the darker ink.
  dab(x, y) {
    this.exact = null;
    const reach = PAD_BRUSH + PAD_SOFT / 2;
    const clip = (v, top) => Math.min(top, Math.max(0, v));
    const [c0, c1] = [clip(Math.floor((x - reach) * PAD_FINE), this.cols), clip(Math.ceil((x + reach) * PAD_FINE), this.cols)];
    const [r0, r1] = [clip(Math.floor((y - reach) * PAD_FINE), this.rows), clip(Math.ceil((y + reach) * PAD_FINE), this.rows)];
    for (let r = r0; r < r1; r++) for (let c = c0; c < c1; c++) {
      const d = Math.hypot((c + 0.5) / PAD_FINE - x, (r + 0.5) / PAD_FINE - y);
      const t = Math.min(1, Math.max(0, (PAD_BRUSH + PAD_SOFT / 2 - d) / PAD_SOFT));
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
    const [left, top, scale] = box ?? [0, 0, PAD_FINE]; // scale: cells along one pixel
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
    const scale = Math.max(c1 - c0 + 1, r1 - r0 + 1, 4 * PAD_FINE) / box;
    return [mx / mass - (this.width / 2 + 0.5) * scale, my / mass - (this.height / 2 + 0.5) * scale, scale];
  }
}

// The surface the drawing is made on, by mouse, finger, pen or keys.
class DigitPad {
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
    ctx.arc(this.cursor[0] * k, this.cursor[1] * k, PAD_BRUSH * k, 0, 2 * Math.PI);
    ctx.strokeStyle = theme.accent;
    ctx.lineWidth = this.down ? 5 : 2.5;
    ctx.stroke();
  }
}

// A row of test digits to load, each a button with its picture; the one that the encoder sees is pressed.
class DigitShelf {
  constructor(parent, digits, shape, load) {
    this.shape = shape;
    const shelf = node("div", { className: "vw-shelf", role: "group", "aria-label": "Digits of the test set" }, parent);
    this.entries = digits.map(({ label, pixels }) => {
      const entry = button(shelf, "", () => load(pixels), {
        "aria-label": `Load a test digit, ${label}`, "aria-pressed": "false", title: `Test digit, ${label}`,
      });
      return { entry, canvas: node("canvas", { width: 56, height: 56 }, entry), pixels };
    });
  }

  paint(bytes, theme) {
    for (const { entry, canvas, pixels } of this.entries) {
      entry.setAttribute("aria-pressed", String(bytes.every((v, i) => v === pixels[i])));
      if (canvas.dataset.ink === theme.fg) continue;
      canvas.dataset.ink = theme.fg;
      const ctx = canvas.getContext("2d");
      ctx.clearRect(0, 0, 56, 56);
      drawDigit(ctx, Float32Array.from(pixels, (v) => v / 255), this.shape, 0, 0, 56, theme.fg);
    }
  }
}
