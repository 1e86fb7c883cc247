// A chart: two axes with numbers, what a widget draws between them, and handles to drag.
// A handle is an element of its own over the canvas, so that it has the browser's focus, a name for
// screen readers, and keys; the canvas only shows.

const CHART_MARGIN = { left: 46, right: 12, top: 10, bottom: 38 };

// The part of the segment from a to b inside the box [low, high], or null (Liang and Barsky 1984).
function clipSegment(a, b, { low, high }) {
  let first = 0, last = 1;
  for (const axis of [0, 1]) {
    const run = b[axis] - a[axis];
    if (run === 0 && (a[axis] < low[axis] || a[axis] > high[axis])) return null;
    if (run === 0) continue;
    const at = [(low[axis] - a[axis]) / run, (high[axis] - a[axis]) / run];
    first = Math.max(first, Math.min(...at));
    last = Math.min(last, Math.max(...at));
  }
  const place = (t) => (t === 0 ? a : t === 1 ? b : [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]);
  return first <= last ? [place(first), place(last)] : null;
}

// What of a polygon lies inside the box, one side of the box after another (Sutherland and Hodgman 1974).
function clipPolygon(points, { low, high }) {
  const sides = [0, 1].flatMap((axis) => [[axis, low[axis], 1], [axis, high[axis], -1]]);
  return sides.reduce((kept, [axis, edge, sign]) => kept.flatMap((point, i) => {
    const before = kept.at(i - 1), [was, is] = [before, point].map((p) => sign * (p[axis] - edge) >= 0);
    const t = (edge - before[axis]) / (point[axis] - before[axis]);
    const crossing = was === is ? [] : [[0, 1].map((k) => before[k] + t * (point[k] - before[k]))];
    return is ? [...crossing, point] : crossing;
  }), points);
}

class Chart {
  // options:
  //   label: the picture in words; x, y: [low, high]; xLabel, yLabel: the axes' titles (with units);
  //   xLog, yLog: logarithmic axes; aspect: height over width; equal: one unit on both axes, `aspect`
  //   then follows from the ranges; ticks: { x: [[value, text], …], y: … } to name them by hand;
  //   handlers: draw(ctx, chart), and, where the pointer matters, point([x, y] or null, how), with
  //   how "hover" (mouse passing), "set" (click, touch, drag).
  constructor(parent, { label, x, y, xLabel = "", yLabel = "", xLog = false, yLog = false, aspect = 0.55, equal = false, ticks = {}, handlers }) {
    Object.assign(this, { x: [...x], y: [...y], xLabel, yLabel, log: [xLog, yLog], aspect, equal, named: ticks, handlers });
    this.box = node("div", { className: "vw-chart" }, parent);
    this.canvas = node("canvas", { role: "img", "aria-label": label }, this.box);
    this.handles = new Map();
    this.theme = THEMES[isDark(parent) ? "dark" : "light"];
    this.resizer = new ResizeObserver(() => this.resize());
    this.resizer.observe(this.box);
    if (handlers.point) this.listen();
  }

  close() { this.resizer.disconnect(); cancelAnimationFrame(this.frame); }

  describe(label) { this.canvas.setAttribute("aria-label", label); }

  // ------------------------------------------------------------ geometry

  resize() {
    const width = Math.round(this.box.clientWidth);
    if (!width) return;
    const { left, right, top, bottom } = CHART_MARGIN;
    const inner = width - left - right;
    const spans = [this.span(0), this.span(1)];
    const high = this.equal ? inner * spans[1] / spans[0] : width * this.aspect - top - bottom;
    this.width = width;
    this.height = Math.round(Math.max(60, high) + top + bottom);
    this.inner = { left, top, width: inner, height: this.height - top - bottom };
    this.ratio = Math.min(3, devicePixelRatio || 1);
    this.canvas.style.height = `${this.height}px`;
    this.canvas.width = Math.round(width * this.ratio);
    this.canvas.height = Math.round(this.height * this.ratio);
    this.redraw();
  }

  warp(axis, value) { return this.log[axis] ? Math.log10(value) : value; }
  unwarp(axis, value) { return this.log[axis] ? 10 ** value : value; }
  range(axis) { return axis ? this.y : this.x; }
  span(axis) { const [low, high] = this.range(axis); return this.warp(axis, high) - this.warp(axis, low); }

  // Where a value lies on the canvas, in CSS pixels.
  px(value) { return this.inner.left + (this.warp(0, value) - this.warp(0, this.x[0])) / this.span(0) * this.inner.width; }
  py(value) { return this.inner.top + (1 - (this.warp(1, value) - this.warp(1, this.y[0])) / this.span(1)) * this.inner.height; }
  toPixel([x, y]) { return [this.px(x), this.py(y)]; }
  toValue([px, py]) {
    const { left, top, width, height } = this.inner;
    return [
      this.unwarp(0, this.warp(0, this.x[0]) + (px - left) / width * this.span(0)),
      this.unwarp(1, this.warp(1, this.y[0]) + (1 - (py - top) / height) * this.span(1)),
    ];
  }

  setRange(x, y) {
    this.x = [...(x ?? this.x)];
    this.y = [...(y ?? this.y)];
    if (this.equal) this.resize();
    else this.redraw();
  }

  // `count` places across the x axis, evenly spaced as it is drawn.
  places(count = 400) {
    const low = this.warp(0, this.x[0]), span = this.span(0);
    return Array.from({ length: count }, (_, k) => this.unwarp(0, low + k / (count - 1) * span));
  }

  // ------------------------------------------------------------ drawing

  setTheme(theme) { this.theme = theme; this.redraw(); }

  redraw() { this.frame ||= requestAnimationFrame(() => { this.frame = 0; this.paint(); }); }

  paint() {
    if (!this.width) return;
    const ctx = this.canvas.getContext("2d"), { left, top, width, height } = this.inner;
    ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    ctx.clearRect(0, 0, this.width, this.height);
    this.axes(ctx);
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    this.handlers.draw(ctx, this);
    ctx.restore();
    for (const handle of this.handles.values()) this.placeHandle(handle);
  }

  // Multiples of 1, 2 or 5 times a power of ten; on a logarithmic axis the powers: [value, text].
  ticksOf(axis) {
    const named = this.named[axis ? "y" : "x"];
    if (named) return named;
    const [low, high] = this.range(axis), room = axis ? this.inner.height / 42 : this.inner.width / 64;
    if (this.log[axis]) {
      const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
      const step = Math.max(1, Math.ceil((last - first) / room));
      const found = [];
      for (let e = first; e <= last; e += step) found.push([10 ** e, e >= -2 && e <= 3 ? String(Number((10 ** e).toPrecision(1))) : `10${[...String(e)].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("")}`]);
      return found;
    }
    const rough = (high - low) / Math.max(2, Math.min(7, room)), ten = 10 ** Math.floor(Math.log10(rough));
    const sizes = [0.5, 1, 2, 5, 10];
    let size = sizes.findIndex((k) => k >= 1 && k * ten >= rough * 0.99);
    const fit = () => {
      const step = ten * sizes[size], first = Math.ceil(low / step - 1e-9);
      return { step, first, count: Math.floor(high / step + 1e-9) - first + 1 };
    };
    // One number alone gives an axis no scale.
    if (fit().count < 2) size--;
    const { step, first, count } = fit(), places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    return Array.from({ length: count }, (_, k) => [(first + k) * step, fixed((first + k) * step, places)]);
  }

  axes(ctx) {
    const { theme } = this, { left, top, width, height } = this.inner;
    ctx.font = "11px system-ui, sans-serif";
    ctx.fillStyle = theme.muted;
    ctx.strokeStyle = theme.line;
    ctx.lineWidth = 1;
    const stroke = (x0, y0, x1, y1) => { ctx.beginPath(); ctx.moveTo(x0, y0); ctx.lineTo(x1, y1); ctx.stroke(); };
    for (const [value, text] of this.ticksOf(0)) {
      const at = Math.round(this.px(value)) + 0.5;
      ctx.globalAlpha = 0.55;
      stroke(at, top, at, top + height);
      ctx.globalAlpha = 1;
      ctx.textAlign = "center";
      ctx.textBaseline = "top";
      // A number at the very end of the axis stays on the canvas.
      const half = ctx.measureText(text).width / 2;
      ctx.fillText(text, Math.min(at, this.width - half), top + height + 5);
    }
    for (const [value, text] of this.ticksOf(1)) {
      const at = Math.round(this.py(value)) + 0.5;
      ctx.globalAlpha = 0.55;
      stroke(left, at, left + width, at);
      ctx.globalAlpha = 1;
      ctx.textAlign = "right";
      ctx.textBaseline = "middle";
      ctx.fillText(text, left - 6, at);
    }
    stroke(left + 0.5, top, left + 0.5, top + height + 0.5);
    stroke(left, top + height + 0.5, left + width, top + height + 0.5);
    ctx.textAlign = "center";
    ctx.textBaseline = "bottom";
    ctx.fillText(this.xLabel, left + width / 2, this.height - 1);
    ctx.save();
    ctx.translate(9, top + height / 2);
    ctx.rotate(-Math.PI / 2);
    ctx.textBaseline = "middle";
    ctx.fillText(this.yLabel, 0, 0);
    ctx.restore();
  }

  // Far outside, a canvas loses precision: what is drawn is cut off at twice the picture's size.
  get reach() { return { low: [-this.width, -this.height], high: [2 * this.width, 2 * this.height] }; }

  // A polyline, each of its segments clipped, so that what is seen of a steep one keeps its slope.
  path(ctx, xs, ys) {
    let last = null, pen = null;
    ctx.beginPath();
    for (let i = 0; i < xs.length; i++) {
      const next = this.toPixel([xs[i], ys[i]]);
      if (!next.every(Number.isFinite)) { last = pen = null; continue; }
      const part = last && clipSegment(last, next, this.reach);
      last = next;
      if (!part) { pen = null; continue; }
      const [from, to] = part;
      if (!pen || pen[0] !== from[0] || pen[1] !== from[1]) ctx.moveTo(...from);
      ctx.lineTo(...to);
      pen = to;
    }
  }

  line(ctx, xs, ys, color, { width = 2, dash = [], alpha = 1 } = {}) {
    this.path(ctx, xs, ys);
    ctx.strokeStyle = color;
    ctx.lineWidth = width;
    ctx.lineJoin = "round";
    ctx.setLineDash(dash);
    ctx.globalAlpha = alpha;
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.globalAlpha = 1;
  }

  // Between the curve and `base`: a number, or another curve's values.
  area(ctx, xs, ys, color, { base = 0, alpha = 0.18 } = {}) {
    const under = typeof base === "number" ? xs.map(() => base) : base;
    const outline = [...xs.map((x, i) => this.toPixel([x, ys[i]])), ...xs.map((x, i) => this.toPixel([x, under[i]])).reverse()];
    ctx.beginPath();
    clipPolygon(outline.filter((point) => point.every(Number.isFinite)), this.reach).forEach((point) => ctx.lineTo(...point));
    ctx.closePath();
    ctx.fillStyle = color;
    ctx.globalAlpha = alpha;
    ctx.fill();
    ctx.globalAlpha = 1;
  }

  // Bars between consecutive edges, one fewer heights than edges.
  bars(ctx, edges, heights, color, { base = 0, alpha = 0.5, gap = 1 } = {}) {
    ctx.fillStyle = color;
    ctx.globalAlpha = alpha;
    const floor = this.py(this.log[1] ? this.y[0] : base);
    heights.forEach((height, k) => {
      const a = this.px(edges[k]), b = this.px(edges[k + 1]), y = this.py(height);
      ctx.fillRect(a + gap / 2, Math.min(y, floor), Math.max(0.5, b - a - gap), Math.abs(floor - y));
    });
    ctx.globalAlpha = 1;
  }

  dots(ctx, xs, ys, color, { radius = 3, alpha = 1 } = {}) {
    ctx.fillStyle = color;
    ctx.globalAlpha = alpha;
    for (let i = 0; i < xs.length; i++) {
      ctx.beginPath();
      ctx.arc(this.px(xs[i]), this.py(ys[i]), radius, 0, 2 * Math.PI);
      ctx.fill();
    }
    ctx.globalAlpha = 1;
  }

  // A whole line across at one value of an axis ("x" or "y").
  rule(ctx, axis, value, color, { width = 1.5, dash = [5, 4], text = "", side = 1, start = false } = {}) {
    const { left, top, width: w, height: h } = this.inner;
    const at = axis === "x" ? this.px(value) : this.py(value);
    ctx.strokeStyle = color;
    ctx.lineWidth = width;
    ctx.setLineDash(dash);
    ctx.beginPath();
    if (axis === "x") { ctx.moveTo(at, top); ctx.lineTo(at, top + h); }
    else { ctx.moveTo(left, at); ctx.lineTo(left + w, at); }
    ctx.stroke();
    ctx.setLineDash([]);
    if (!text) return;
    ctx.textAlign = (axis === "x" ? side > 0 : start) ? "left" : "right";
    ctx.textBaseline = axis === "x" ? "top" : side > 0 ? "bottom" : "top";
    if (axis === "x") this.text(ctx, text, at + 5 * side, top + 3, color);
    else this.text(ctx, text, start ? left + 6 : left + w - 4, at - 3 * side, color);
  }

  // Words with a halo, at CSS pixels; set textAlign and textBaseline before.
  text(ctx, text, x, y, color, font = "600 12px system-ui, sans-serif") {
    ctx.font = font;
    ctx.lineJoin = "round";
    ctx.lineWidth = 3;
    ctx.strokeStyle = this.theme.bg;
    ctx.strokeText(text, x, y);
    ctx.fillStyle = color;
    ctx.fillText(text, x, y);
  }

  // ------------------------------------------------------------ handles and pointer

  // options: label (its name for a screen reader), at() -> [x, y] in values, move([x, y], how) with
  // what was asked for (the widget clamps), axis "x", "y" or "xy", say() -> its value in words,
  // mark: a letter on it, color: a key of the theme or a CSS colour, step: [dx, dy] of an arrow key
  // (default: a hundredth of the axis as drawn; with Shift ten times that).
  handle(key, options) {
    const element = node("div", {
      className: "vw-handle", role: "slider", tabIndex: 0, "aria-label": options.label,
      "aria-orientation": options.axis === "y" ? "vertical" : "horizontal",
    }, this.box);
    if (options.mark) element.textContent = options.mark;
    const handle = { axis: "xy", ...options, element, key };
    this.handles.set(key, handle);
    const only = ([x, y]) => {
      const now = handle.at();
      return [handle.axis === "y" ? now[0] : x, handle.axis === "x" ? now[1] : y];
    };
    const move = (value, how) => { handle.move(only(value), how); this.placeHandle(handle); this.redraw(); };
    element.addEventListener("pointerdown", (event) => {
      if (event.button > 0) return;
      element.setPointerCapture(event.pointerId);
      element.focus({ preventScroll: true });
      const [x, y] = this.toPixel(handle.at()), [px, py] = this.place(event);
      handle.grip = [px - x, py - y];
      event.preventDefault();
    });
    element.addEventListener("pointermove", (event) => {
      if (!handle.grip) return;
      const [px, py] = this.place(event);
      move(this.toValue([px - handle.grip[0], py - handle.grip[1]]), "drag");
    });
    const release = () => {
      if (!handle.grip) return;
      handle.grip = null;
      handle.move(handle.at(), "set");
    };
    element.addEventListener("pointerup", release);
    element.addEventListener("pointercancel", release);
    element.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key];
      if (!arrow || event.ctrlKey || event.metaKey || event.altKey) return;
      // On one axis all four arrows count, as on a slider.
      const along = handle.axis === "xy" ? arrow : handle.axis === "x" ? [arrow[0] + arrow[1], 0] : [0, arrow[0] + arrow[1]];
      const times = event.shiftKey ? 10 : 1, at = handle.at();
      const value = [0, 1].map((axis) => {
        if (!along[axis]) return at[axis];
        const step = handle.step?.[axis];
        if (step) return at[axis] + along[axis] * step * times;
        return this.unwarp(axis, this.warp(axis, at[axis]) + along[axis] * times * this.span(axis) / 100);
      });
      move(value, "set");
      event.preventDefault();
    });
    this.redraw();
    return handle;
  }

  removeHandle(key) {
    this.handles.get(key)?.element.remove();
    this.handles.delete(key);
  }

  placeHandle(handle) {
    if (!this.width) return;
    const { element } = handle, [x, y] = this.toPixel(handle.at());
    const { left, top, width, height } = this.inner;
    // A value outside the picture waits at its edge, where it can still be taken.
    element.style.left = `${Math.min(left + width, Math.max(left, x))}px`;
    element.style.top = `${Math.min(top + height, Math.max(top, y))}px`;
    element.style.setProperty("--vw-handle", this.theme[handle.color] ?? handle.color ?? this.theme.accent);
    const main = handle.axis === "y" ? 1 : 0, [low, high] = this.range(main);
    element.setAttribute("aria-valuemin", String(Math.min(low, high)));
    element.setAttribute("aria-valuemax", String(Math.max(low, high)));
    element.setAttribute("aria-valuenow", String(handle.at()[main]));
    element.setAttribute("aria-valuetext", handle.say?.() ?? pair(handle.at()));
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  listen() {
    let pressed = false;
    const inside = ([px, py]) => {
      if (!this.inner) return false; // before the first layout
      const { left, top, width, height } = this.inner;
      return px >= left && px <= left + width && py >= top && py <= top + height;
    };
    const tell = (event, how) => {
      const at = this.place(event);
      if (how === "hover" && !inside(at)) this.handlers.point(null, how);
      else this.handlers.point(this.toValue(at), how);
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.button > 0 || !inside(this.place(event))) return;
      pressed = true;
      this.canvas.setPointerCapture(event.pointerId);
      tell(event, "set");
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (pressed) tell(event, "set");
      else if (event.pointerType === "mouse") tell(event, "hover");
    });
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => { pressed = false; });
    this.canvas.addEventListener("pointerleave", () => { if (!pressed) this.handlers.point(null, "hover"); });
  }
}

// A row of numbers with their names: `set({ key: text })` shows them. rows: [key, name, hint].
function readout(parent, rows) {
  const list = node("dl", { className: "vw-readout" }, parent);
  const cells = Object.fromEntries(rows.map(([key, name, hint]) => {
    const box = node("div", { title: hint ?? "" }, list);
    node("dt", { textContent: name }, box);
    return [key, node("dd", {}, box)];
  }));
  return { list, cells, set(values) { for (const [key, text] of Object.entries(values)) cells[key].textContent = text; } };
}

// A slider with its name before and its value after; `show(value)` moves it.
function labelled(parent, name, { min, max, step, value, format = (v) => fixed(v, 2) }, onInput) {
  const row = node("label", { className: "vw-labelled" }, parent);
  node("span", { textContent: name }, row);
  const output = node("output", {});
  const input = slider(row, name, { min, max, step, value }, (v) => { tell(v); onInput(v); });
  row.append(output);
  const tell = (v) => { output.textContent = format(v); input.setAttribute("aria-valuetext", format(v)); };
  tell(value);
  return { row, input, show(v) { input.value = v; tell(v); } };
}

// Reproducible draws in the browser: mulberry32, and normal draws by Box and Muller.
function randomSource(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return { uniform, normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()) };
}

const LOG_2PI = Math.log(2 * Math.PI);
const normalLogDensity = (x, mean = 0, sigma = 1) => -0.5 * ((x - mean) / sigma) ** 2 - Math.log(sigma) - 0.5 * LOG_2PI;
const logSumExp = (values) => {
  let most = -Infinity, sum = 0;
  for (const v of values) if (v > most) most = v;
  if (most === -Infinity) return most;
  for (const v of values) sum += Math.exp(v - most);
  return most + Math.log(sum);
};
