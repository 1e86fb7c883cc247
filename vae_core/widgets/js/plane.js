// The latent plane: a canvas on which both axes have the same unit, so that a circle is a circle
// and an ellipse at one sigma is one sigma. The still layer (points, circles, ticks) is drawn
// once and kept; what follows the pointer is drawn over it.

class Plane {
  // handlers: base(ctx, plane), overlay(ctx, plane), point(z, how), leave(), grab(px, py), key(event)
  // `how` is "hover" (mouse passing), "set" (click, touch, key: it stays) or "drag" (a grabbed handle).
  constructor(parent, { label, home, handlers }) {
    this.handlers = handlers;
    this.home = home; // centre x, y and half the side, in units
    this.view = { ...this.home };
    this.box = node("div", { className: "vw-plane" }, parent);
    this.canvas = node("canvas", {
      tabIndex: 0, role: "application", "aria-label": label, "aria-roledescription": "latent plane",
    }, this.box);
    this.still = document.createElement("canvas");
    this.stale = true;
    this.pointers = new Map();
    this.resizer = new ResizeObserver(() => this.resize());
    this.resizer.observe(this.box);
    this.listen();
  }

  close() { this.resizer.disconnect(); cancelAnimationFrame(this.frame); }

  // ------------------------------------------------------------ geometry

  resize() {
    const size = Math.round(this.box.clientWidth);
    if (!size) return;
    this.size = size;
    this.ratio = Math.min(3, devicePixelRatio || 1);
    for (const canvas of [this.canvas, this.still]) {
      canvas.width = canvas.height = Math.round(size * this.ratio);
    }
    this.redraw();
  }

  get scale() { return this.size / (2 * this.view.reach); } // CSS pixels per unit

  toPixel(z) {
    const { x, y, reach } = this.view;
    return [(z[0] - x + reach) * this.scale, (y + reach - z[1]) * this.scale];
  }

  toPlane([px, py]) {
    const { x, y, reach } = this.view;
    return [x - reach + px / this.scale, y + reach - py / this.scale];
  }

  setHome(home) {
    this.home = home;
    this.setView({ ...home });
  }

  setView(view) {
    const reach = Math.min(this.home.reach * 4, Math.max(this.home.reach / 40, view.reach));
    this.view = { ...view, reach };
    this.redraw();
  }

  // Zoom about a point of the plane, which stays under the pointer.
  zoom(factor, about = [this.view.x, this.view.y]) {
    const before = this.view.reach;
    const reach = Math.min(this.home.reach * 4, Math.max(this.home.reach / 40, before * factor));
    const k = reach / before;
    this.setView({
      x: about[0] + (this.view.x - about[0]) * k, y: about[1] + (this.view.y - about[1]) * k, reach,
    });
  }

  // Keep a point moved by keys in sight.
  follow(z) {
    const margin = 0.94 * this.view.reach;
    const clamp = (c, v) => Math.min(v + margin, Math.max(v - margin, c));
    const x = clamp(this.view.x, z[0]), y = clamp(this.view.y, z[1]);
    if (x !== this.view.x || y !== this.view.y) this.setView({ ...this.view, x, y });
  }

  // ------------------------------------------------------------ drawing

  redraw() { this.stale = true; this.touch(); }

  touch() { this.frame ||= requestAnimationFrame(() => { this.frame = 0; this.paint(); }); }

  paint() {
    if (!this.size) return;
    if (this.stale) {
      this.stale = false;
      const ctx = this.still.getContext("2d");
      ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      ctx.clearRect(0, 0, this.size, this.size);
      this.handlers.base(ctx, this);
    }
    const ctx = this.canvas.getContext("2d");
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, this.canvas.width, this.canvas.height);
    ctx.drawImage(this.still, 0, 0);
    ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.handlers.overlay?.(ctx, this);
  }

  // Multiples of 1, 2 or 5 times a power of ten, about five on an axis: [axis, value, pixel].
  ticks() {
    const rough = (2 * this.view.reach) / 5, ten = 10 ** Math.floor(Math.log10(rough));
    const step = ten * [1, 2, 5, 10].find((k) => k * ten >= rough * 0.7);
    const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    return [this.view.x, this.view.y].flatMap((centre, axis) => {
      const first = Math.ceil((centre - this.view.reach) / step);
      const count = Math.floor((centre + this.view.reach) / step) - first + 1;
      return Array.from({ length: count }, (_, k) => {
        const value = (first + k) * step;
        const at = this.toPixel(axis ? [0, value] : [value, 0])[axis];
        return { axis, at: Math.round(at) + 0.5, zero: first + k === 0, text: fixed(value, places) };
      });
    });
  }

  grid(ctx, theme) {
    ctx.strokeStyle = theme.line;
    ctx.lineWidth = 1;
    for (const { axis, at, zero } of this.ticks()) {
      ctx.globalAlpha = zero ? 1 : 0.5;
      ctx.beginPath();
      if (axis) { ctx.moveTo(0, at); ctx.lineTo(this.size, at); }
      else { ctx.moveTo(at, 0); ctx.lineTo(at, this.size); }
      ctx.stroke();
    }
    ctx.globalAlpha = 1;
  }

  // The axes' numbers, drawn last so that no point hides them.
  numbers(ctx, theme) {
    ctx.font = "11px system-ui, sans-serif";
    for (const { axis, at, text } of this.ticks()) {
      if (at < 18 || at > this.size - 18) continue;
      ctx.textAlign = axis ? "left" : "center";
      ctx.textBaseline = axis ? "middle" : "bottom";
      if (axis) this.text(ctx, text, 5, at, theme.muted, theme);
      else this.text(ctx, text, at, this.size - 3, theme.muted, theme);
    }
  }

  text(ctx, text, x, y, color, theme, halo = 3) {
    ctx.lineJoin = "round";
    ctx.lineWidth = halo;
    ctx.strokeStyle = theme.panel;
    ctx.strokeText(text, x, y);
    ctx.fillStyle = color;
    ctx.fillText(text, x, y);
  }

  // Circles of the prior N(0, I), labelled with their radius.
  circles(ctx, theme, radii = [1, 2, 3]) {
    ctx.font = "600 11px system-ui, sans-serif";
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    const [x, y] = this.toPixel([0, 0]);
    for (const r of radii) {
      const radius = r * this.scale;
      for (const [width, color] of [[3, theme.panel], [1.25, theme.accent]]) {
        ctx.globalAlpha = width > 2 ? 0.6 : 0.9;
        ctx.lineWidth = width;
        ctx.strokeStyle = color;
        ctx.beginPath();
        ctx.arc(x, y, radius, 0, 2 * Math.PI);
        ctx.stroke();
      }
      ctx.globalAlpha = 1;
      // Labels a little off the vertical, clear of the axis's line.
      const angle = -Math.PI * 0.42;
      this.text(ctx, String(r), x + radius * Math.cos(angle), y + radius * Math.sin(angle), theme.accent, theme, 4);
    }
  }

  // All codes, in the data's order: drawn class by class, the last class would hide the others. The
  // class brought out, if there is one, comes last, larger; the others fade. Dots grow as one looks
  // closer, and have a shape of their class's own once they are big enough.
  points(ctx, codes, theme, { out = -1, alpha = 0.55, radius = 1.7 } = {}) {
    const near = Math.min(4.5, radius * Math.max(1, Math.sqrt(this.home.reach / this.view.reach)));
    if (out < 0) this.marks(ctx, codes, theme, () => true, near, alpha);
    else {
      this.marks(ctx, codes, theme, (label) => label !== out, near, 0.16 * alpha);
      this.marks(ctx, codes, theme, (label) => label === out, Math.max(3, 1.3 * near), 0.85);
    }
  }

  marks(ctx, codes, theme, wanted, radius, alpha) {
    const side = 2 * Math.ceil((1.4 * radius + 1) * this.ratio), half = side / 2, shaped = radius >= CLASS_MARK_FROM;
    const sprites = theme.classes.map((color, k) => {
      const sprite = new OffscreenCanvas(side, side);
      const halo = shaped ? theme.panel : null;
      drawClassMark(sprite.getContext("2d"), shaped ? k : CLASS_DISC, half, half, radius * this.ratio, color, halo);
      return sprite;
    });
    ctx.save();
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.globalAlpha = alpha;
    const k = this.scale * this.ratio;
    const left = this.view.x - this.view.reach, top = this.view.y + this.view.reach;
    const limit = this.size * this.ratio + half;
    for (let i = 0; i < codes.count; i++) {
      const label = codes.labels[i];
      if (!wanted(label)) continue;
      const px = (codes.x[i] - left) * k, py = (top - codes.y[i]) * k;
      if (px < -half || py < -half || px > limit || py > limit) continue;
      ctx.drawImage(sprites[label % sprites.length], px - half, py - half);
    }
    ctx.restore();
  }

  // Each class's digit at its median, moved apart where two would overlap.
  classLabels(ctx, codes, classes, theme, out = -1) {
    const spots = codes.medians
      .map((z, k) => ({ k, at: this.toPixel(z) }))
      .filter(({ at }) => at.every((v) => v > 0 && v < this.size));
    const gap = 19;
    for (let round = 0; round < 30; round++) {
      for (const a of spots) for (const b of spots) {
        if (a.k >= b.k) continue;
        const dx = b.at[0] - a.at[0] || 0.1, dy = b.at[1] - a.at[1], d = Math.hypot(dx, dy);
        if (d >= gap) continue;
        const push = (gap - d) / (2 * d);
        a.at[0] -= dx * push; a.at[1] -= dy * push; b.at[0] += dx * push; b.at[1] += dy * push;
      }
    }
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.font = "700 16px system-ui, sans-serif";
    for (const { k, at } of spots) {
      ctx.globalAlpha = out < 0 || k === out ? 1 : 0.3;
      this.text(ctx, classes[k], ...at, classColor(theme, k), theme, 5);
    }
    ctx.globalAlpha = 1;
  }

  ellipse(ctx, mean, sigma, k, color, width = 1.5) {
    const [x, y] = this.toPixel(mean);
    ctx.strokeStyle = color;
    ctx.lineWidth = width;
    ctx.beginPath();
    ctx.ellipse(x, y, k * sigma[0] * this.scale, k * sigma[1] * this.scale, 0, 0, 2 * Math.PI);
    ctx.stroke();
  }

  crosshair(ctx, z, theme) {
    const [x, y] = this.toPixel(z);
    ctx.strokeStyle = theme.fg;
    ctx.globalAlpha = 0.28;
    ctx.lineWidth = 1;
    ctx.beginPath();
    ctx.moveTo(x, 0); ctx.lineTo(x, this.size);
    ctx.moveTo(0, y); ctx.lineTo(this.size, y);
    ctx.stroke();
    ctx.globalAlpha = 1;
    this.ring(ctx, z, 6, theme.fg, theme);
  }

  ring(ctx, z, radius, color, theme) {
    const [x, y] = this.toPixel(z);
    for (const [width, ink] of [[4, theme.panel], [2, color]]) {
      ctx.lineWidth = width;
      ctx.strokeStyle = ink;
      ctx.beginPath();
      ctx.arc(x, y, radius, 0, 2 * Math.PI);
      ctx.stroke();
    }
  }

  badge(ctx, z, text, theme) {
    const [x, y] = this.toPixel(z);
    ctx.fillStyle = theme.fg;
    ctx.strokeStyle = theme.panel;
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.arc(x, y, 9, 0, 2 * Math.PI);
    ctx.fill();
    ctx.stroke();
    ctx.fillStyle = theme.panel;
    ctx.font = "700 11px system-ui, sans-serif";
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillText(text, x, y + 0.5);
  }

  // ------------------------------------------------------------ input

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  listen() {
    const on = (name, handler, options) => this.canvas.addEventListener(name, handler, options);
    on("pointerdown", (e) => this.down(e));
    on("pointermove", (e) => this.move(e));
    on("pointerup", (e) => this.up(e));
    on("pointercancel", (e) => { this.pointers.delete(e.pointerId); this.press = null; });
    on("pointerleave", (e) => { if (!this.press && e.pointerType === "mouse") this.handlers.leave?.(); });
    on("dblclick", (e) => this.zoom(0.5, this.toPlane(this.place(e))));
    // The wheel zooms only a plane that was clicked or tabbed to; else it scrolls the page.
    on("wheel", (e) => {
      if (document.activeElement !== this.canvas && this.canvas.getRootNode().activeElement !== this.canvas) return;
      e.preventDefault();
      this.zoom(Math.exp(Math.sign(e.deltaY) * Math.min(0.25, Math.abs(e.deltaY) / 400)), this.toPlane(this.place(e)));
    }, { passive: false });
    on("keydown", (e) => this.key(e));
  }

  down(event) {
    if (event.button > 0) return;
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.place(event);
    this.pointers.set(event.pointerId, at);
    if (this.pointers.size === 2) { this.press = { pinch: true }; return; }
    const handle = this.handlers.grab?.(at);
    this.press = { at, view: { ...this.view }, handle, moved: false };
    if (event.pointerType !== "mouse" && !handle) this.handlers.point?.(this.toPlane(at), "set");
    event.preventDefault();
  }

  move(event) {
    const at = this.place(event);
    if (!this.press) {
      if (event.pointerType === "mouse") this.handlers.point?.(this.toPlane(at), "hover");
      return;
    }
    if (this.press.pinch) { this.pinch(event.pointerId, at); return; }
    const shift = [at[0] - this.press.at[0], at[1] - this.press.at[1]];
    if (Math.hypot(...shift) > 4) this.press.moved = true;
    this.pointers.set(event.pointerId, at);
    if (this.press.handle) this.handlers.drag(this.press.handle, this.toPlane(at));
    else if (event.pointerType !== "mouse" && this.handlers.point) this.handlers.point(this.toPlane(at), "set");
    else if (this.press.moved) {
      const { x, y } = this.press.view;
      this.canvas.dataset.panning = "";
      this.setView({ ...this.view, x: x - shift[0] / this.scale, y: y + shift[1] / this.scale });
    }
  }

  up(event) {
    const press = this.press;
    this.pointers.delete(event.pointerId);
    if (this.pointers.size === 0) this.press = null;
    delete this.canvas.dataset.panning;
    if (press && !press.pinch && !press.handle && !press.moved) {
      this.handlers.point?.(this.toPlane(this.place(event)), "set");
    }
  }

  pinch(id, at) {
    const before = [...this.pointers.values()];
    this.pointers.set(id, at);
    const after = [...this.pointers.values()];
    if (after.length < 2) return;
    const span = ([a, b]) => Math.max(10, Math.hypot(a[0] - b[0], a[1] - b[1]));
    const middle = ([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const [from, to] = [this.toPlane(middle(before)), middle(after)];
    this.zoom(span(before) / span(after), from);
    const now = this.toPlane(to);
    this.setView({ ...this.view, x: this.view.x + from[0] - now[0], y: this.view.y + from[1] - now[1] });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    const step = (this.view.reach / 40) * (event.shiftKey ? 5 : 1);
    if (arrow && this.handlers.step) this.handlers.step([arrow[0] * step, arrow[1] * step]);
    else if (event.key === "+" || event.key === "=") this.zoom(0.8, this.handlers.focus?.());
    else if (event.key === "-") this.zoom(1.25, this.handlers.focus?.());
    else if (event.key === "Home") this.setView({ ...this.home });
    else if (!this.handlers.key?.(event)) return;
    event.preventDefault();
  }

  // Zoom for those without a wheel.
  zoomButtons(parent) {
    const group = node("div", { className: "vw-zoom", role: "group", "aria-label": "Zoom" }, parent);
    button(group, "−", () => this.zoom(1.4), { "aria-label": "Zoom out", title: "Zoom out (−)" });
    button(group, "+", () => this.zoom(1 / 1.4), { "aria-label": "Zoom in", title: "Zoom in (+)" });
    button(group, "⤢", () => this.setView({ ...this.home }), { "aria-label": "Whole plane", title: "Whole plane (Home)" });
  }
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
