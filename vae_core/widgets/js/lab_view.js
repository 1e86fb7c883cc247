// One run of the training lab as pictures: its map, what the plane decodes to, reconstructions.

const LAB_COLORS = ["accent", 1, 2]; // of the runs, in charts and titles
const labColor = (theme, run) => (run ? theme.classes[LAB_COLORS[run]] : theme.accent);
const labNats = (value, places = 2) => (Number.isFinite(value) ? (Math.abs(value) < 1e5 ? fixed(value, places) : `${value < 0 ? "−" : ""}${Math.abs(value).toExponential(1)}`) : "–");

// Held-out codes as a plane draws them.
class LabCodes extends Codes {
  constructor(codes, labels, classes) {
    super(new Int16Array(0), 1, [], 0);
    this.count = labels.length;
    this.labels = labels;
    this.x = Float32Array.from({ length: this.count }, (_, i) => codes[2 * i]);
    this.y = Float32Array.from({ length: this.count }, (_, i) => codes[2 * i + 1]);
    this.medians = Array.from({ length: classes }, (_, k) => this.median(k));
  }
}

class LabView {
  constructor(parent, lab, run) {
    Object.assign(this, { lab, run });
    this.panel = node("div", { className: "vw-panel vw-lab-run", role: "group" }, parent);
    const head = node("div", { className: "vw-head" }, this.panel);
    this.title = node("div", { className: "vw-title" }, head);
    if (run) button(head, "×", () => lab.drop(run), { "aria-label": `Remove run ${"ABC"[run]}`, title: "Remove this run", className: "vw-lab-drop" });
    const pictures = node("div", { className: "vw-lab-pictures" }, this.panel);
    const left = node("figure", {}, pictures), right = node("figure", {}, pictures);
    this.plane = new Plane(left, {
      label: `Latent plane of run ${"ABC"[run]}`, home: { x: 0, y: 0, reach: 3.6 },
      handlers: {
        base: (ctx, plane) => this.drawPlane(ctx, plane), overlay: (ctx, plane) => this.drawChosen(ctx, plane),
        point: (z, how) => { if (how === "set" && this.codes && z.every(Number.isFinite)) lab.choose(this.codes.nearest(z).index); },
        step: ([dx, dy]) => this.walk(dx, dy),
      },
    });
    this.leftCaption = node("figcaption", {}, left);
    if (lab.planar) this.buildSpace(right);
    else {
      this.grid = node("canvas", { role: "img", className: "vw-lab-grid", "aria-label": "The plane, decoded" }, right);
      node("figcaption", { textContent: "the plane [−3, 3]², decoded" }, right);
      this.strip = node("canvas", { role: "img", className: "vw-lab-strip", "aria-label": "Held-out digits and reconstructions" }, this.panel);
      node("div", { className: "vw-lab-caption", textContent: "held-out digits, and their reconstructions" }, this.panel);
    }
    this.readout = readout(this.panel, [
      ["elbo", "ELBO, held out"], ["inside", "ELBO, training"], ["reconstruction", "log P(X|z), held out"], ["kl", "KL, held out"], ["loss", "loss as printed"], ["sigma", "pixel σ"],
    ]);
  }

  close() { this.plane.close(); this.space?.close(); this.panel.remove(); }

  // ------------------------------------------------------------ data space

  buildSpace(parent) {
    const reach = LAB_PLANE_REACH, { lab } = this;
    this.space = new Chart(parent, {
      label: "Data space", x: [-reach, reach], y: [-reach, reach], equal: true, xLabel: "x₁", yLabel: "x₂",
      handlers: {
        draw: (ctx, chart) => this.drawSpace(ctx, chart),
        point: (place, how) => {
          if (!place || how !== "set") return;
          if (lab.settings.data === "drawn") lab.addPoint(place);
          else lab.choose(this.nearestPoint(place));
        },
      },
    });
    if (lab.settings.data === "drawn" && !this.run) {
      this.pen = [0, 0];
      const { element } = this.space.handle("pen", {
        label: "Pen", at: () => this.pen, say: () => `Pen at ${pair(this.pen)}; Enter puts a point`,
        move: ([x, y], how) => {
          const inside = (v) => Math.min(reach, Math.max(-reach, v));
          this.pen = [inside(x), inside(y)];
          if (how === "drag") lab.addPoint(this.pen);
        },
      });
      element.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        lab.addPoint(this.pen);
        event.preventDefault();
      });
    }
    this.rightCaption = node("figcaption", {}, parent);
  }

  nearestPoint([x, y]) {
    const { heldOut } = this.lab.data;
    let best = 0, least = Infinity;
    for (let i = 0; i < heldOut.length / 2; i++) {
      const d = (heldOut[2 * i] - x) ** 2 + (heldOut[2 * i + 1] - y) ** 2;
      if (d < least) { least = d; best = i; }
    }
    return best;
  }

  drawSpace(ctx, chart) {
    const { lab, frame } = this, { theme, data } = lab;
    if (lab.settings.data === "drawn") {
      const points = lab.settings.points;
      chart.dots(ctx, points.map((p) => p[0]), points.map((p) => p[1]), theme.muted, { radius: 5, alpha: 0.25 });
      if (!points.length) {
        ctx.textAlign = "center";
        ctx.textBaseline = "middle";
        chart.text(ctx, "Draw here", ...chart.toPixel([0, 1]), theme.muted);
        return;
      }
    }
    for (let k = 0; k < 5; k++) {
      const xs = [], ys = [];
      for (let i = 0; i < data.labels.length; i++) if (data.labels[i] === k) { xs.push(data.heldOut[2 * i]); ys.push(data.heldOut[2 * i + 1]); }
      chart.dots(ctx, xs, ys, theme.classes[k], { radius: 2, alpha: 0.55 });
    }
    if (!frame) return;
    const side = Math.sqrt(frame.grid.length / 2), line = (index) => [index.map((i) => frame.grid[2 * i]), index.map((i) => frame.grid[2 * i + 1])];
    const steps = Array.from({ length: side }, (_, i) => i);
    for (let k = 0; k < side; k += 4) {
      const middle = k === (side - 1) / 2;
      for (const index of [steps.map((i) => k * side + i), steps.map((i) => i * side + k)]) {
        chart.line(ctx, ...line(index), theme.fg, { width: middle ? 1.4 : 0.7, alpha: middle ? 0.8 : 0.5 });
      }
    }
    const i = lab.chosen, at = [data.heldOut[2 * i], data.heldOut[2 * i + 1]], to = [frame.reconstructions[2 * i], frame.reconstructions[2 * i + 1]];
    chart.line(ctx, [at[0], to[0]], [at[1], to[1]], labColor(theme, this.run), { width: 2 });
    chart.dots(ctx, [at[0]], [at[1]], theme.fg, { radius: 5 });
    chart.dots(ctx, [to[0]], [to[1]], labColor(theme, this.run), { radius: 5 });
  }

  // ------------------------------------------------------------ the map

  drawPlane(ctx, plane) {
    const { theme, classes, planar } = this.lab;
    plane.grid(ctx, theme);
    if (this.codes) {
      plane.points(ctx, this.codes, theme, { out: this.lab.out, radius: planar ? 2.2 : 2, alpha: 0.75 });
      plane.circles(ctx, theme);
      if (!planar) plane.classLabels(ctx, this.codes, classes, theme, this.lab.out);
    }
    plane.numbers(ctx, theme);
  }

  drawChosen(ctx, plane) {
    const { frame } = this, { theme } = this.lab;
    if (!frame || !frame.centre?.every(Number.isFinite)) return;
    const { centre, spread } = frame, limit = 50 * plane.view.reach;
    if (spread?.every((s) => s < limit)) for (const k of [1, 2]) plane.ellipse(ctx, centre, spread, k, theme.fg, k > 1 ? 1 : 2);
    plane.ring(ctx, centre, 5, theme.fg, theme);
  }

  // From the chosen code to the nearest one in an arrow's direction.
  walk(dx, dy) {
    const { codes, lab } = this, from = codes?.at(lab.chosen);
    if (!from) return;
    let best = -1, least = Infinity;
    for (let i = 0; i < codes.count; i++) {
      const along = (codes.x[i] - from[0]) * dx + (codes.y[i] - from[1]) * dy, across = Math.abs((codes.x[i] - from[0]) * dy) + Math.abs((codes.y[i] - from[1]) * dx);
      if (along > 0 && along + 2 * across < least) { least = along + 2 * across; best = i; }
    }
    if (best >= 0) lab.choose(best);
  }

  // The reach grows in jumps, so that the picture does not swell with every frame.
  fit() {
    const { x, y, count } = this.codes, all = [];
    for (let i = 0; i < count; i++) all.push(Math.max(Math.abs(x[i]), Math.abs(y[i])));
    const far = all.sort((a, b) => a - b)[Math.floor(0.99 * (count - 1))], { reach } = this.plane.home;
    if (!Number.isFinite(far)) return;
    const wanted = Math.max(3.6, 3.6 * 1.5 ** Math.ceil(Math.log(far / 3.4) / Math.log(1.5)));
    if (wanted > reach || (wanted < reach && far < 0.89 * wanted)) this.plane.setHome({ x: 0, y: 0, reach: wanted });
  }

  // ------------------------------------------------------------ a frame

  show(frame) {
    this.frame = frame;
    const { lab } = this, { labels } = lab.data;
    if (frame) {
      this.codes = new LabCodes(frame.codes, labels, lab.planar ? 0 : lab.classes.length);
      this.fit();
      const { history } = frame, latest = (name) => history[name].at(-1), parts = frame.kl ?? [], ae = lab.runs[this.run].model === "AE";
      const some = parts.length > 1 && parts.length < 5 ? ` = ${parts.map((v) => labNats(v)).join(" + ")}` : "";
      this.readout.set({
        elbo: ae ? "none" : labNats(latest("heldOut")), inside: ae ? "none" : labNats(latest("train")), reconstruction: labNats(latest("reconstruction")),
        kl: ae ? "none" : labNats(latest("kl")) + some, loss: labNats(latest("loss")), sigma: frame.sigma === null ? "none" : fixed(frame.sigma, 3),
      });
      const axes = frame.axes.map((axis) => `z${"₁₂₃₄₅₆₇₈₉"[axis] ?? axis + 1}`);
      this.leftCaption.textContent = `codes μ of ${labels.length} held-out examples (${axes.join(", ")})${frame.spread ? "; one with Q at 1 σ and 2 σ" : ""}`;
      this.plane.canvas.setAttribute("aria-label", `Latent plane of run ${"ABC"[this.run]} at step ${frame.step}: the chosen example lies at ${frame.centre.every(Number.isFinite) ? pair(frame.centre) : "no place"}`);
      if (this.rightCaption) this.rightCaption.textContent = "data, the decoder’s image of the plane [−3, 3]², and one reconstruction";
      this.space?.describe(`Data space: ${labels.length} held-out points, and the decoded plane as a net of lines.`);
    }
    this.draw();
  }

  draw() {
    this.plane.redraw();
    this.space?.redraw();
    if (!this.lab.planar && this.frame) { this.drawGrid(); this.drawStrip(); }
  }

  // Means in one picture of rows x columns.
  paste(canvas, means, rows, columns, { top = null } = {}) {
    const [height, width] = this.lab.shape, high = rows * height, wide = columns * width;
    if (canvas.width !== wide) canvas.width = wide;
    if (canvas.height !== high) canvas.height = high;
    const ctx = canvas.getContext("2d"), image = ctx.createImageData(wide, high), [r, g, b] = rgbOfHex(this.lab.theme.fg);
    const { data } = image, size = height * width;
    const put = (picture, at, values, scale) => {
      let to = 4 * (Math.floor(picture / columns) * height * wide + (picture % columns) * width);
      for (let i = 0; i < size; i++, to += i % width ? 4 : 4 * (wide - width + 1)) {
        data[to] = r;
        data[to + 1] = g;
        data[to + 2] = b;
        data[to + 3] = 255 * Math.min(1, Math.max(0, values[at + i] * scale || 0));
      }
    };
    if (top) top.forEach(([values, at], i) => put(i, at, values, 1 / 255));
    const skip = top ? top.length : 0;
    for (let i = skip; i < rows * columns; i++) put(i, (i - skip) * height * width, means, 1);
    ctx.putImageData(image, 0, 0);
  }

  drawGrid() {
    const pixels = this.lab.data.pixels, side = Math.round(Math.sqrt(this.frame.grid.length / pixels));
    this.paste(this.grid, this.frame.grid, side, side);
    this.grid.setAttribute("aria-label", `What the latent plane of run ${"ABC"[this.run]} decodes to, ${side} by ${side} pictures from −3 to 3`);
  }

  drawStrip() {
    const { data, digits, chosen } = this.lab, wanted = [...digits, chosen];
    this.paste(this.strip, this.frame.reconstructions, 2, wanted.length, { top: wanted.map((i) => [data.greys, i * data.pixels]) });
    this.strip.setAttribute("aria-label", `Held-out digits above, their reconstructions below; the last is the chosen one, ${this.lab.chosenLabel()}`);
  }
}
