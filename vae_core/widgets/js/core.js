// What every widget of the book shares: blobs, networks, theme, digits, controls, traits.
// Plain declarations, no imports: Python joins this text with plane.js and one widget's file
// into a single ES module, which runs live under anywidget and statically in the built page.

// ---------------------------------------------------------------- blobs

// One cache for the whole page, so two widgets that share a decoder unpack it once.
const blobCache = (globalThis.vaeBlobCache ??= new Map());

// Pairs of characters carry 13 bits each, the lower digit first: 23 % more than the bytes, where
// base64 is 33 % more. The first pair counts the bits that pad the last.
const DIGIT = new Uint8Array(128);
Array.from({ length: 94 }, (_, k) => String.fromCharCode(33 + k)).filter((c) => !'<&"\\'.includes(c))
  .concat(" ").forEach((c, digit) => { DIGIT[c.charCodeAt(0)] = digit; });

function bytesOfText(text) {
  const group = (at) => DIGIT[text.charCodeAt(at)] + 91 * DIGIT[text.charCodeAt(at + 1)];
  const bytes = new Uint8Array((13 * (text.length / 2 - 1) - group(0)) / 8);
  for (let at = 2, held = 0, bits = 0, to = 0; at < text.length; at += 2) {
    held = (held << 13) | group(at); // at most 20 bits are held
    bits += 13;
    for (; bits >= 8; held &= (1 << bits) - 1) {
      bits -= 8;
      bytes[to++] = held >> bits;
    }
  }
  return bytes;
}

async function gunzip(bytes) {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("This browser is too old for the widget: it has no DecompressionStream.");
  }
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

// The bytes arrive either with the kernel (a DataView in the `blobs` trait) or in a script tag,
// which may stand anywhere in the page: the book keeps one copy of a blob that repeats.
function loadBlob(model, sha) {
  if (!blobCache.has(sha)) {
    const live = model.get("blobs")?.[sha];
    const tag = live ? null : document.querySelector(`script[data-vae-blob="${sha}"]`);
    if (!live && !tag) return Promise.reject(new Error("Part of this widget's data is missing."));
    const bytes = live
      ? new Uint8Array(live.buffer ?? live, live.byteOffset ?? 0, live.byteLength)
      : bytesOfText(tag.textContent);
    blobCache.set(sha, gunzip(bytes));
  }
  return blobCache.get(sha);
}

// ---------------------------------------------------------------- networks

const ACTIVATIONS = {
  identity: (x) => x,
  relu: (x) => (x > 0 ? x : 0),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  softplus: (x) => (x > 20 ? x : Math.log1p(Math.exp(x))), // as PyTorch, whose threshold is 20
  tanh: Math.tanh,
};

// A multilayer perceptron. Weights are turned back into float32 once, exactly as PyTorch holds
// them after `dequantise`; sums run in double precision.
class MLP {
  constructor(buffer, spec) {
    this.activation = ACTIVATIONS[spec.activation];
    let offset = 0;
    this.layers = spec.layers.map(({ rows, cols, format, by }) => {
      const bias = new Float32Array(buffer, offset, rows);
      offset += 4 * rows;
      let weight;
      if (format === "float32") {
        weight = new Float32Array(buffer, offset, rows * cols);
        offset += 4 * rows * cols;
      } else {
        const scale = new Float32Array(buffer, offset, 1)[0];
        offset += 4;
        const pictures = new Pictures(buffer, offset);
        weight = pictures.weights(by === "cols", scale);
        offset = pictures.end;
      }
      return { rows, cols, weight, bias, out: new Float64Array(rows) };
    });
    this.outputs = spec.layers.at(-1).rows;
  }

  // The returned array is reused by the next call.
  forward(input) {
    let h = input;
    const last = this.layers.length - 1;
    this.layers.forEach((layer, index) => {
      affine(layer, h);
      if (index < last) {
        for (let r = 0; r < layer.rows; r++) layer.out[r] = this.activation(layer.out[r]);
      }
      h = layer.out;
    });
    return h;
  }
}

// out = W h + b. Four running sums let the processor overlap the additions.
function affine({ rows, cols, weight, bias, out }, h) {
  const whole = cols - (cols % 4);
  for (let r = 0, at = 0; r < rows; r++, at += cols) {
    let a = bias[r], b = 0, c = 0, d = 0;
    for (let i = 0; i < whole; i += 4) {
      a += weight[at + i] * h[i];
      b += weight[at + i + 1] * h[i + 1];
      c += weight[at + i + 2] * h[i + 2];
      d += weight[at + i + 3] * h[i + 3];
    }
    for (let i = whole; i < cols; i++) a += weight[at + i] * h[i];
    out[r] = a + b + (c + d);
  }
}

// The pixel means p(x|z): the decoder, then the likelihood's link.
class Decoder {
  constructor(buffer, spec) {
    this.mlp = new MLP(buffer, spec);
    this.link = ACTIVATIONS[spec.link];
  }

  mean(z, into = new Float32Array(this.mlp.outputs)) {
    const output = this.mlp.forward(z);
    for (let i = 0; i < into.length; i++) into[i] = this.link(output[i]);
    return into;
  }
}

// Test codes in the latent plane, with their classes.
class Codes {
  constructor(buffer, scale, labels, classCount) {
    const raw = new Int16Array(buffer);
    this.count = labels.length;
    this.labels = labels;
    this.x = new Float32Array(this.count);
    this.y = new Float32Array(this.count);
    for (let i = 0; i < this.count; i++) {
      this.x[i] = raw[2 * i] * scale;
      this.y[i] = raw[2 * i + 1] * scale;
    }
    this.medians = Array.from({ length: classCount }, (_, k) => this.median(k));
  }

  median(label) {
    const middle = (values) => {
      const own = values.filter((_, i) => this.labels[i] === label).sort();
      return own.length ? own[own.length >> 1] : NaN;
    };
    return [middle(this.x), middle(this.y)];
  }

  nearest(z) {
    let best = -1, least = Infinity;
    for (let i = 0; i < this.count; i++) {
      const dx = this.x[i] - z[0], dy = this.y[i] - z[1], d = dx * dx + dy * dy;
      if (d < least) { least = d; best = i; }
    }
    return { index: best, distance: Math.sqrt(least) };
  }

  at(index) { return [this.x[index], this.y[index]]; }

  // The square that holds nearly all codes and the prior's third circle. The last 0.2 % on each
  // side may lie outside: a few stray codes must not shrink the picture of all the others.
  extent(stray = 0.002) {
    const range = (values) => {
      const sorted = values.slice().sort(), last = sorted.length - 1;
      return [Math.min(-3.1, sorted[Math.round(stray * last)]), Math.max(3.1, sorted[Math.round((1 - stray) * last)])];
    };
    const [[x0, x1], [y0, y1]] = [range(this.x), range(this.y)];
    return { x: (x0 + x1) / 2, y: (y0 + y1) / 2, reach: 0.53 * Math.max(x1 - x0, y1 - y0) };
  }
}

// The test digits at a few greys, unpacked a lane at a time, when one of its digits is wanted.
class Atlas {
  constructor(buffer) {
    this.pictures = new Pictures(buffer, 0);
    this.lanes = new Map();
  }

  digit(index) {
    const { pixels, per, levels } = this.pictures, lane = Math.floor(index / per);
    if (!this.lanes.has(lane)) this.lanes.set(lane, this.pictures.lane(lane));
    const at = (index % per) * pixels;
    return Float32Array.from(this.lanes.get(lane).subarray(at, at + pixels), (level) => level / (levels - 1));
  }
}

// ---------------------------------------------------------------- theme

// Ten hues apart in lightness as well. What tells classes apart without colour vision is the key
// and the marks of classes.js, and the class's own digit at its median.
const THEMES = {
  light: {
    fg: "#1f2933", muted: "#5b6875", line: "#d5dbe1", bg: "#ffffff", panel: "#fbfcfd", accent: "#0b5fa5",
    classes: ["#2b6cb0", "#dd6b20", "#2f855a", "#c53030", "#6b46c1",
      "#7b4b2a", "#c2428f", "#4a5568", "#8a8b12", "#0d9aa8"],
  },
  dark: {
    fg: "#e6e9ed", muted: "#a3adb8", line: "#3a434d", bg: "#14181d", panel: "#191e24", accent: "#7cc0ff",
    classes: ["#6fb1f5", "#f6a35c", "#66c793", "#f57d7d", "#b49bf5",
      "#c99a76", "#f08cc6", "#aeb9c6", "#d0d15a", "#52d3df"],
  },
};

function luminance(color) {
  const [r, g, b] = (color.match(/[\d.]+/g) ?? [0, 0, 0]).map(Number);
  return (0.299 * r + 0.587 * g + 0.114 * b) / 255;
}

// The book sets data-theme, JupyterLab data-jp-theme-light; anywhere else light text on the
// page means a dark page, and follows prefers-color-scheme wherever the page does.
function isDark(el) {
  const book = document.documentElement.dataset.theme;
  if (book === "dark" || book === "light") return book === "dark";
  const lab = document.body.dataset.jpThemeLight;
  if (lab) return lab === "false";
  return luminance(getComputedStyle(el.parentElement ?? document.body).color) > 0.5;
}

function followTheme(el, onChange) {
  let last;
  const update = () => {
    const name = isDark(el) ? "dark" : "light";
    if (name === last) return;
    last = name;
    el.dataset.vwTheme = name;
    const theme = THEMES[name];
    for (const key of ["fg", "muted", "line", "bg", "panel", "accent"]) {
      el.style.setProperty(`--vw-${key}`, theme[key]);
    }
    theme.classes.forEach((color, k) => el.style.setProperty(`--vw-class-${k}`, color));
    onChange(theme);
  };
  const observer = new MutationObserver(update);
  for (const node of [document.documentElement, document.body]) {
    observer.observe(node, { attributes: true });
  }
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", update);
  update();
  return () => { observer.disconnect(); media.removeEventListener("change", update); };
}

const classColor = (theme, label) => theme.classes[label % theme.classes.length];
const rgbOfHex = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// ---------------------------------------------------------------- digits

const scratch = document.createElement("canvas");

// Ink on paper: a pixel's value is how much of the theme's ink covers it.
function drawDigit(ctx, pixels, [height, width], x, y, size, ink, smooth = false) {
  scratch.width = width;
  scratch.height = height;
  const pen = scratch.getContext("2d");
  const image = pen.createImageData(width, height);
  const [r, g, b] = rgbOfHex(ink);
  for (let i = 0, at = 0; i < pixels.length; i++, at += 4) {
    image.data[at] = r;
    image.data[at + 1] = g;
    image.data[at + 2] = b;
    image.data[at + 3] = 255 * Math.min(1, Math.max(0, pixels[i])) + 0.5;
  }
  pen.putImageData(image, 0, 0);
  ctx.imageSmoothingEnabled = smooth;
  const scale = size / Math.max(height, width);
  ctx.drawImage(scratch, x, y, width * scale, height * scale);
}

// A captioned picture of one digit.
function digitFigure(parent, caption, shape) {
  const figure = node("figure", { className: "vw-digit" }, parent);
  const canvas = node("canvas", { role: "img", "aria-label": caption }, figure);
  canvas.width = canvas.height = 8 * Math.max(...shape);
  const text = node("figcaption", { textContent: caption }, figure);
  return {
    figure, canvas, caption: text,
    show(pixels, theme, label) {
      const ctx = canvas.getContext("2d");
      ctx.clearRect(0, 0, canvas.width, canvas.height);
      if (pixels) drawDigit(ctx, pixels, shape, 0, 0, canvas.width, theme.fg);
      if (label) canvas.setAttribute("aria-label", label);
    },
  };
}

// ---------------------------------------------------------------- controls

function node(tag, properties = {}, parent = null) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element && key !== "role") element[key] = value;
    else element.setAttribute(key, value);
  }
  parent?.append(element);
  return element;
}

function button(parent, text, onClick, properties = {}) {
  const element = node("button", { type: "button", textContent: text, ...properties }, parent);
  element.addEventListener("click", onClick);
  return element;
}

function toggle(parent, text, pressed, onChange, properties = {}) {
  const element = button(parent, text, () => set(!(element.ariaPressed === "true"), true), properties);
  const set = (on, tell = false) => {
    element.setAttribute("aria-pressed", String(on));
    if (tell) onChange(on);
  };
  set(pressed);
  element.setOn = set;
  return element;
}

// One of several, as a row of toggles.
function choice(parent, label, options, value, onChange) {
  const group = node("div", { className: "vw-choice", role: "group", "aria-label": label }, parent);
  const buttons = options.map(([key, text]) =>
    toggle(group, text, key === value, () => {
      buttons.forEach((b, i) => b.setOn(options[i][0] === key));
      onChange(key);
    }));
  return group;
}

function slider(parent, label, { min = 0, max = 1, step = 0.01, value = 0 }, onInput) {
  const input = node("input", { type: "range", min, max, step, "aria-label": label }, parent);
  input.value = value;
  input.addEventListener("input", () => onInput(Number(input.value)));
  return input;
}

// A folded list of what each key or gesture does: rows of [keys, what].
function keysHelp(parent, rows, title = "Keys and gestures") {
  const details = node("details", {}, parent);
  node("summary", { textContent: title }, details);
  const list = node("dl", { className: "vw-keys" }, details);
  for (const [keys, what] of rows) {
    node("dt", { textContent: keys }, list);
    node("dd", { textContent: what }, list);
  }
  return details;
}

// A screen reader hears the last word once the pointer rests, not every step on the way.
function announcer(parent, wait = 600) {
  const region = node("div", { className: "vw-sr", "aria-live": "polite", role: "status" }, parent);
  let timer = 0, last = -Infinity;
  return (text) => {
    clearTimeout(timer);
    const soon = Math.min(wait, 600), due = Math.max(soon, last + wait - performance.now());
    timer = setTimeout(() => { last = performance.now(); region.textContent = text; }, due);
  };
}

// A true minus sign keeps columns of signed numbers aligned.
const fixed = (value, places) => {
  const text = Math.abs(value).toFixed(places);
  return (value < 0 && Number(text) !== 0 ? "−" : "") + text;
};
const pair = (z, places = 2) => `(${fixed(z[0], places)}, ${fixed(z[1], places)})`;

// ---------------------------------------------------------------- traits

// Two-way traits: `push` sends to Python at most every `wait` ms, and `onPull` hears Python.
function traits(model, names, onPull, wait = 60) {
  let pending = {}, timer = 0, pushing = false;
  const flush = () => {
    timer = 0;
    pushing = true;
    for (const [name, value] of Object.entries(pending)) model.set(name, value);
    pending = {};
    model.save_changes();
    pushing = false;
  };
  const listeners = names.map((name) => {
    const listener = () => { if (!pushing && !(name in pending)) onPull(name, model.get(name)); };
    model.on(`change:${name}`, listener);
    return [`change:${name}`, listener];
  });
  return {
    push(values) {
      Object.assign(pending, values);
      timer ||= setTimeout(flush, wait);
    },
    close() {
      clearTimeout(timer);
      listeners.forEach(([event, listener]) => model.off(event, listener));
    },
  };
}

// The built page has no kernel: this stands in for anywidget's model.
function staticModel(state) {
  const listeners = new Map();
  return {
    get: (name) => state[name],
    set(name, value) {
      const changed = JSON.stringify(state[name]) !== JSON.stringify(value);
      state[name] = value;
      if (changed) (listeners.get(`change:${name}`) ?? []).forEach((listener) => listener());
    },
    save_changes() {},
    on(event, listener) { listeners.set(event, [...(listeners.get(event) ?? []), listener]); },
    off(event, listener) {
      listeners.set(event, (listeners.get(event) ?? []).filter((other) => other !== listener));
    },
  };
}

// A notebook keeps a static rendition beside each live view, for the day its kernel is gone. While
// a live view stands, its static twin, which carries the same mark, is out of the way.
const liveViews = (globalThis.vaeLiveViews ??= new Map());

function countLive(mark, by) {
  liveViews.set(mark, (liveViews.get(mark) ?? 0) + by);
  document.querySelectorAll(`.vae-static[data-mark="${mark}"]`).forEach((el) => {
    el.hidden = liveViews.get(mark) > 0;
  });
}

// JupyterLab takes up to two seconds to see that there is no kernel behind a view.
const LIVE_WITHIN = 2000;

function mountStatic(render, kind) {
  document.querySelectorAll(`.vae-static[data-widget="${kind}"]`).forEach((el, place) => {
    if ("mounted" in el.dataset) return;
    el.dataset.mounted = "";
    const state = JSON.parse(el.querySelector('script[type="application/json"]').textContent);
    const model = staticModel(state);
    el.__model = model;
    el.hidden = liveViews.get(el.dataset.mark) > 0;
    let host, shown;
    const show = () => { if (!el.hidden) shown = render({ model, el: host = node("div", {}, el) }); };
    if (!isPage(el)) { setTimeout(show, el.closest(".jp-OutputArea") ? LIVE_WITHIN : 0); return; }
    const link = model.link = shareLink(place ? `${kind}-${place + 1}` : kind, model, state.share?.ranges ?? {}, el);
    link.restore();
    show();
    // A reload comes back to where the reader was.
    if (link.named() && performance.getEntriesByType("navigation")[0]?.type === "navigate") shown?.then(link.goTo, () => {});
    // Another link to this page was followed: the widget is made anew from what it says.
    addEventListener("hashchange", async () => {
      if (!link.named()) { link.follow(); return; }
      const close = await shown?.catch(() => null);
      if (close && link.restore()) {
        close();
        host.remove();
        show();
      }
      link.goTo();
    });
  });
}

// Common frame of every `render`: the root, its style, the theme, a sentence when something fails.
async function frame(model, el, label, build) {
  const style = node("style", { textContent: CSS }, el);
  // Two widgets of one kind on a page are told apart by their number.
  const alike = [...document.querySelectorAll("section.vae-widget")].filter((other) => other.ariaLabel.startsWith(label)).length;
  const root = node("section", { className: "vae-widget", "aria-label": alike ? `${label} ${alike + 1}` : label }, el);
  const mark = model.get("mark"); // a static rendition's model has none
  if (mark) countLive(mark, 1);
  // JupyterLab takes a key pressed anywhere in a notebook for a command (an arrow for another cell,
  // B for a new one) unless the key's target says not to. It listens at the document: be earlier.
  const own = ({ target, ctrlKey, metaKey }) => {
    if (root.contains(target)) target.toggleAttribute("data-lm-suppress-shortcuts", !ctrlKey && !metaKey);
  };
  addEventListener("keydown", own, true);
  const undo = [() => {
    root.remove();
    style.remove();
    if (mark) countLive(mark, -1);
    removeEventListener("keydown", own, true);
  }];
  const status = node("p", { className: "vw-status", textContent: "Unpacking…" }, root);
  try {
    await build(root, undo);
    status.remove();
    shareFoot(root, model);
  } catch (error) {
    root.replaceChildren(node("p", { className: "vw-status", textContent: error.message }));
    el.parentElement?.setAttribute("data-failed", ""); // the book then shows the still picture
    throw error;
  }
  return () => undo.reverse().forEach((step) => step());
}
