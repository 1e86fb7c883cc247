// MapExplorer: choose a map, drag points of z-space, see where they land and how densely.

const LETTERS = "ABC", DRAWS = 1500;
const PATCH = 0.6, PATCH_DOTS = 90; // radius of the patch of dots around the chosen point, in z

// ---------------------------------------------------------------- the normal distribution

// The smaller tail of N(0, 1) beyond |z|: a series near the middle, a continued fraction outside.
function normalTail(z) {
  const a = Math.abs(z), density = Math.exp(normalLogDensity(a));
  if (a < 3) {
    let term = a, sum = a;
    for (let k = 3; Math.abs(term) > 1e-18 * sum; k += 2) {
      term *= a * a / k;
      sum += term;
    }
    return 0.5 - density * sum;
  }
  let fraction = a;
  for (let k = 120; k > 0; k--) fraction = a + k / fraction;
  return density / fraction;
}

const normalBelow = (z) => (z > 0 ? 1 - normalTail(z) : normalTail(z));
const normalAbove = (z) => normalBelow(-z);

// ---------------------------------------------------------------- maps, as in vae_core.maps

// g: z -> x; stretch: |det dx/dz| at z; density: P(x). Points are arrays of `dim` numbers.
function makeMaps({ weights, means, sigmas }) {
  const mixed = (x, part) => weights.reduce((sum, w, k) => sum + w * part((x - means[k]) / sigmas[k], sigmas[k]), 0);
  const base = (z) => Math.exp(normalLogDensity(z));
  // A quantile map stretches by N(z)/P(x).
  const onLine = (g, density) => ({ g: ([z]) => [g(z)], density: ([x]) => density(x), stretch: ([z]) => base(z) / density(g(z)) });
  const quantileOfPeaks = (z) => {
    const right = z > 0, wanted = normalTail(z);
    let low = -30, high = 30;
    for (let k = 0; k < 70; k++) {
      const middle = (low + high) / 2, tail = mixed(middle, right ? normalAbove : normalBelow);
      if (right ? tail < wanted : tail > wanted) high = middle;
      else low = middle;
    }
    return (low + high) / 2;
  };
  const plane = (z) => base(z[0]) * base(z[1]);
  const bentUp = (first) => [Math.exp(0.7 * Math.tanh(first)), 1.2 * Math.cos(1.5 * first)];
  return {
    identity: { g: (z) => [...z], stretch: () => 1, density: plane },
    ring: {
      g: ([a, b]) => {
        const r = Math.hypot(a, b);
        return r > 0 ? [a / 10 + a / r, b / 10 + b / r] : [1, 0];
      },
      stretch: ([a, b]) => 0.1 * (0.1 + 1 / Math.hypot(a, b)),
      density: ([a, b]) => {
        const rho = Math.hypot(a, b), r = 10 * (rho - 1);
        return r > 0 ? Math.exp(-r * r / 2) / (2 * Math.PI) * 10 * r / rho : 0;
      },
    },
    bent: {
      g: ([a, b]) => {
        const [scale, shift] = bentUp(a), up = b * scale + shift;
        return [a + 0.9 * Math.tanh(up), up];
      },
      stretch: ([a]) => bentUp(a)[0],
      density: ([x, up]) => {
        const a = x - 0.9 * Math.tanh(up), [scale, shift] = bentUp(a);
        return plane([a, (up - shift) / scale]) / scale;
      },
    },
    uniform: onLine(normalBelow, (x) => (x > 0 && x < 1 ? 1 : 0)),
    exponential: onLine((z) => -Math.log(normalAbove(z)), (x) => (x > 0 ? Math.exp(-x) : 0)),
    arcsine: {
      ...onLine((z) => Math.sin(Math.PI / 2 * normalBelow(z)) ** 2, (x) => (x > 0 && x < 1 ? 1 / (Math.PI * Math.sqrt(x * (1 - x))) : 0)),
      // sin(πΦ)/2 is √(x(1 − x)), without the digits that 1 − x would lose.
      stretch: ([z]) => base(z) * Math.PI / 2 * Math.sin(Math.PI * normalTail(z)),
    },
    "two-peaks": onLine(quantileOfPeaks, (x) => mixed(x, (u, s) => Math.exp(normalLogDensity(u)) / s)),
  };
}

// ---------------------------------------------------------------- the widget

class MapBench {
  constructor(root, model, undo) {
    this.root = root;
    const { reach, maps, peaks } = model.get("payload");
    Object.assign(this, { reach, specs: maps, maps: makeMaps(peaks), seed: 1 });
    this.name = model.get("map_name");
    this.points = model.get("points").map((z) => [...z]);
    this.chosen = model.get("chosen");
    this.charts = [];
    this.buildBars();
    this.pictures = node("div", { className: "vw-maps" }, root);
    this.buildHelp();
    this.say = announcer(root);
    this.traits = traits(model, ["map_name", "points", "chosen"], (name, value) => this.pull(name, value));
    undo.push(() => { this.traits.close(); this.charts.forEach((chart) => chart.close()); });
    this.draw();
    undo.push(followTheme(root, (theme) => { this.theme = theme; this.charts.forEach((chart) => chart.setTheme(theme)); }));
    this.showMap();
  }

  get map() { return this.maps[this.name]; }
  get dim() { return this.specs[this.name].dim; }

  // ------------------------------------------------------------ layout

  buildBars() {
    const bar = node("div", { className: "vw-bar vw-map-choices" }, this.root);
    this.groups = [2, 1].map((dim) => {
      const options = Object.entries(this.specs).filter(([, spec]) => spec.dim === dim).map(([name, { title }]) => [name, title]);
      const group = choice(bar, dim === 2 ? "Map of the plane" : "Map of the line", options, this.name, (name) => this.setMap(name));
      return { group, names: options.map(([name]) => name) };
    });
    button(bar, "New draws", () => { this.seed += 1; this.draw(); this.refresh(); });
    this.numbers = readout(this.root, [
      ["point", "point", "the one moved last"],
      ["z", "z"], ["x", "x = g(z)"],
      ["base", "P(z)"],
      ["stretch", "stretch", "by how much the map enlarges a small neighbourhood of z"],
      ["density", "P(x) = P(z) / stretch"],
      ["below", "area to the left", "the same for z as for x"],
    ]);
  }

  buildHelp() {
    this.note = node("p", { className: "vw-note" }, this.root);
    keysHelp(this.root, [
      ["drag", "A, B or C in the left picture; its image moves in the right one"],
      ["click", "in the left picture: the point moved last goes there"],
      ["Tab", "go to a point"],
      ["arrows", "move the point; with Shift ten times as far"],
    ]);
  }

  showMap() {
    for (const { group, names } of this.groups) [...group.children].forEach((each, k) => each.setOn(names[k] === this.name));
    this.charts.forEach((chart) => chart.close());
    this.pictures.replaceChildren();
    const plane = this.dim === 2, { title, view } = this.specs[this.name];
    const side = (text) => {
      const box = node("div", {}, this.pictures);
      node("p", { className: "vw-map-caption", textContent: text }, box);
      return box;
    };
    const edge = this.reach + 0.4, x = [-edge, edge];
    this.left = new Chart(side(plane ? "z-space: draws of N(0, I)" : "z: the density of N(0, 1)"), {
      label: "z-space", x, y: plane ? x : [0, 0.48], equal: plane, aspect: 0.8,
      xLabel: plane ? "z₁" : "z", yLabel: plane ? "z₂" : "density",
      handlers: { draw: (ctx, chart) => this.drawLeft(ctx, chart), point: (at, how) => { if (at && how === "set") this.move(this.chosen, at, "set"); } },
    });
    this.right = new Chart(side(`x = g(z): ${title.toLowerCase()}`), {
      label: "x-space", x: view.slice(0, 2), y: view.slice(2), equal: plane, aspect: 0.8,
      xLabel: plane ? "x₁" : "x", yLabel: plane ? "x₂" : "density",
      handlers: { draw: (ctx, chart) => this.drawRight(ctx, chart) },
    });
    this.charts = [this.left, this.right];
    [...LETTERS].forEach((letter, k) => this.left.handle(letter, {
      label: `Point ${letter} in z-space`, mark: letter, axis: plane ? "xy" : "x", step: [0.05, 0.05],
      color: this.color(k), at: () => (plane ? this.points[k] : [this.points[k][0], Math.exp(normalLogDensity(this.points[k][0]))]),
      say: () => `z ${this.words(this.numbersOf(k).z)}, x ${this.words(this.numbersOf(k).x)}`,
      move: (at, how) => this.move(k, at, how),
    }));
    this.numbers.cells.below.parentElement.hidden = plane;
    this.note.textContent = plane
      ? "More colour means denser. Blue: the circles of radius 1, 2, 3 and their images. The dots around the chosen point are spread evenly over a disc of z: where the map crowds them, areas shrink and density grows."
      : "The shaded areas to the left of the chosen point are equal: that is the whole construction, x = P⁻¹(Φ(z)). Grey bars: the draws, after the map.";
    this.shading = null;
    this.refresh();
  }

  color(k) { return `var(--vw-class-${k + 1})`; }
  words(point) { return point.length === 2 ? pair(point, 2) : fixed(point[0], 2); }

  // ------------------------------------------------------------ numbers

  draw() {
    const { normal } = randomSource(this.seed);
    this.draws = Array.from({ length: DRAWS }, () => [normal(), normal()]);
  }

  numbersOf(k) {
    const z = this.points[k].slice(0, this.dim), x = this.map.g(z), stretch = this.map.stretch(z);
    const base = z.reduce((product, v) => product * Math.exp(normalLogDensity(v)), 1);
    return { z, x, base, stretch, density: base / stretch, below: normalBelow(z[0]) };
  }

  // ------------------------------------------------------------ acting

  setMap(name) {
    this.name = name;
    this.traits.push({ map_name: name });
    this.showMap();
  }

  move(k, at, how) {
    const held = (v) => Math.min(this.reach, Math.max(-this.reach, v));
    this.points[k] = [held(at[0]), this.dim === 2 ? held(at[1]) : this.points[k][1]];
    this.chosen = k;
    this.traits.push({ points: this.points.map((z) => [...z]), chosen: k });
    this.refresh(how);
  }

  // A trait set in Python.
  pull(name, value) {
    if (name === "map_name") { this.name = value; this.showMap(); return; }
    if (name === "points") this.points = value.map((z) => [...z]);
    else this.chosen = value;
    this.refresh();
  }

  refresh(how = "set") {
    const plane = this.dim === 2, k = this.chosen, { z, x, base, stretch, density, below } = this.numbersOf(k);
    const four = (v) => (v >= 1e4 || (v !== 0 && v < 1e-3) ? v.toExponential(2).replace("-", "−") : v.toPrecision(4));
    this.numbers.set({
      point: LETTERS[k], z: this.words(z), x: this.words(x), base: four(base), stretch: four(stretch),
      density: four(density), below: fixed(below, 4),
    });
    const mapped = this.draws.map((each) => this.map.g(each.slice(0, this.dim)));
    this.mapped = mapped;
    if (!plane) this.bars = this.countDraws(mapped);
    this.left.describe(`z-space, ${LETTERS[k]} at ${this.words(z)}`);
    this.right.describe(`x-space under the map ${this.specs[this.name].title}, ${LETTERS[k]} lands at ${this.words(x)}`);
    this.charts.forEach((chart) => chart.redraw());
    if (how !== "drag") this.say?.(`${this.specs[this.name].title}: ${LETTERS[k]} lands at ${this.words(x)}, density ${four(density)}`);
  }

  countDraws(mapped, count = 36) {
    const [low, high] = this.specs[this.name].view, at = ["uniform", "arcsine"].includes(this.name) ? [0, 1] : this.name === "exponential" ? [0, high] : [low, high];
    const width = (at[1] - at[0]) / count, heights = new Array(count).fill(0);
    for (const [x] of mapped) {
      const bin = Math.floor((x - at[0]) / width);
      if (bin >= 0 && bin < count) heights[bin] += 1 / (DRAWS * width);
    }
    return { edges: Array.from({ length: count + 1 }, (_, k) => at[0] + k * width), heights };
  }

  // ------------------------------------------------------------ drawing

  circle(centre, radius, count = 160) {
    return Array.from({ length: count + 1 }, (_, k) => {
      const angle = 2 * Math.PI * k / count;
      return [centre[0] + radius * Math.cos(angle), centre[1] + radius * Math.sin(angle)];
    });
  }

  curve(ctx, chart, points, color, options) { chart.line(ctx, points.map((p) => p[0]), points.map((p) => p[1]), color, options); }

  drawLeft(ctx, chart) {
    const { theme } = this;
    if (this.dim === 1) { this.drawNormal(ctx, chart); return; }
    this.shade(ctx, chart, (z) => Math.exp(normalLogDensity(z[0]) + normalLogDensity(z[1])), "z");
    chart.dots(ctx, this.draws.map((z) => z[0]), this.draws.map((z) => z[1]), theme.fg, { radius: 1.1, alpha: 0.4 });
    for (const radius of [1, 2, 3]) this.curve(ctx, chart, this.circle([0, 0], radius), theme.accent, { width: 1.2 });
    this.patch(ctx, chart, (z) => z);
  }

  drawNormal(ctx, chart) {
    const { theme } = this, zs = chart.places(400), z0 = this.points[this.chosen][0];
    const density = (z) => Math.exp(normalLogDensity(z)), under = [...zs.filter((z) => z < z0), z0];
    chart.area(ctx, under, under.map(density), classColor(theme, this.chosen + 1), { alpha: 0.35 });
    chart.line(ctx, zs, zs.map(density), theme.accent, { width: 2.5 });
  }

  drawRight(ctx, chart) {
    const { theme } = this;
    if (this.dim === 1) this.drawInduced(ctx, chart);
    else {
      this.shade(ctx, chart, this.map.density, this.name);
      chart.dots(ctx, this.mapped.map((x) => x[0]), this.mapped.map((x) => x[1]), theme.fg, { radius: 1.1, alpha: 0.4 });
      // The image of a curve can turn sharply, so it takes more points than the curve.
      for (const radius of [1, 2, 3]) this.curve(ctx, chart, this.circle([0, 0], radius, 480).map((z) => this.map.g(z)), theme.accent, { width: 1.2 });
      this.patch(ctx, chart, (z) => this.map.g(z));
    }
    [...LETTERS].forEach((letter, k) => {
      const { x, density } = this.numbersOf(k);
      this.disc(ctx, chart, this.dim === 2 ? x : [x[0], Math.min(density, chart.y[1])], letter, k);
    });
  }

  drawInduced(ctx, chart) {
    const { theme } = this, { edges, heights } = this.bars, k = this.chosen;
    chart.bars(ctx, edges, heights, theme.muted, { alpha: 0.35 });
    // The curve as the image of a fine line of z: it is exact at every point that a z reaches.
    const zs = Array.from({ length: 801 }, (_, i) => -6 + i * 12 / 800);
    const at = (z) => { const x = this.map.g([z])[0]; return [x, this.map.density([x])]; };
    const under = [...zs.filter((z) => z < this.points[k][0]), this.points[k][0]].map(at).filter((p) => Number.isFinite(p[1]));
    chart.area(ctx, under.map((p) => p[0]), under.map((p) => p[1]), classColor(theme, k + 1), { alpha: 0.35 });
    this.curve(ctx, chart, zs.map(at), theme.accent, { width: 2.5 });
  }

  // Evenly spread dots in a disc of z around the chosen point, and where the map takes them. Dots
  // and no filled shape: where a map tears the disc, as the ring does at 0, they still tell the truth.
  patch(ctx, chart, g) {
    const centre = this.points[this.chosen], color = classColor(this.theme, this.chosen + 1);
    const dots = Array.from({ length: PATCH_DOTS }, (_, k) => {
      const radius = PATCH * Math.sqrt((k + 0.5) / PATCH_DOTS), angle = k * Math.PI * (3 - Math.sqrt(5));
      return g([centre[0] + radius * Math.cos(angle), centre[1] + radius * Math.sin(angle)]);
    });
    chart.dots(ctx, dots.map((p) => p[0]), dots.map((p) => p[1]), color, { radius: 1.5 });
    this.curve(ctx, chart, this.circle(centre, PATCH, 240).map(g), color, { width: 2 });
  }

  disc(ctx, chart, at, letter, k) {
    const [x, y] = chart.toPixel(at);
    ctx.beginPath();
    ctx.arc(x, y, 6.5, 0, 2 * Math.PI);
    ctx.fillStyle = classColor(this.theme, k + 1);
    ctx.fill();
    ctx.lineWidth = 2;
    ctx.strokeStyle = this.theme.bg;
    ctx.stroke();
    ctx.fillStyle = this.theme.bg;
    ctx.font = "700 9px system-ui, sans-serif";
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillText(letter, x, y + 0.5);
  }

  // The density as ink, cell by cell, kept as long as the picture has its size and theme.
  shade(ctx, chart, density, key) {
    const { left, top, width, height } = chart.inner, cell = 3;
    const columns = Math.ceil(width / cell), rows = Math.ceil(height / cell);
    const full = `${key} ${columns} ${rows} ${this.theme.accent}`;
    this.shadings ??= new Map();
    if (!this.shadings.has(full)) {
      if (this.shadings.size > 12) this.shadings.clear();
      const values = new Float64Array(columns * rows);
      for (let row = 0, i = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++, i++) {
          values[i] = density(chart.toValue([left + (column + 0.5) * cell, top + (row + 0.5) * cell]));
        }
      }
      const most = values.reduce((a, b) => Math.max(a, b), 0), picture = new OffscreenCanvas(columns, rows);
      const pen = picture.getContext("2d"), image = pen.createImageData(columns, rows), [r, g, b] = rgbOfHex(this.theme.accent);
      values.forEach((value, i) => image.data.set([r, g, b, 150 * Math.sqrt(value / most)], 4 * i));
      pen.putImageData(image, 0, 0);
      this.shadings.set(full, picture);
    }
    const picture = this.shadings.get(full);
    ctx.imageSmoothingEnabled = true;
    ctx.drawImage(picture, left, top, picture.width * cell, picture.height * cell);
  }
}

function render({ model, el }) {
  return frame(model, el, "Map explorer", async (root, undo) => {
    const bench = new MapBench(root, model, undo);
    // For tests and the curious: what the page computes, callable from the console.
    root.parentElement.__vae = {
      bench,
      state: () => ({
        map_name: bench.name, chosen: bench.chosen, points: bench.points.map((z) => [...z]),
        numbers: [0, 1, 2].map((k) => bench.numbersOf(k)),
        // The density at x by its own formula, which shares nothing with the stretch at z in the plane.
        direct: [0, 1, 2].map((k) => bench.map.density(bench.numbersOf(k).x)),
      }),
    };
  });
}

export default { render };
