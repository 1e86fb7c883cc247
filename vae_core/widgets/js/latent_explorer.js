// LatentExplorer: latent planes side by side, decoded under the pointer.

const FRAMES = 11; // digits on the filmstrip
const WALK_SECONDS = 5;

// One model's panel: its plane, the picture at its point, the digit behind it, its filmstrip.
class Panel {
  constructor(explorer, parent, spec, parts) {
    this.explorer = explorer;
    this.name = spec.name;
    Object.assign(this, parts); // decoder, codes, atlas
    this.point = [0, 0]; // where it stays
    this.hover = null; // where the mouse passes
    this.ends = [[0, 0], [0, 0]]; // A and B
    this.linked = -1; // a test digit pointed at in another plane

    const panel = node("div", { className: "vw-panel" }, parent);
    const head = node("div", { className: "vw-head" }, panel);
    node("div", { className: "vw-title", textContent: spec.name }, head);
    this.plane = new Plane(panel, {
      label: `Latent plane of ${spec.name}. Arrow keys move the point that is decoded.`,
      home: this.codes.extent(),
      handlers: {
        base: (ctx) => this.drawBase(ctx),
        overlay: (ctx) => this.drawOverlay(ctx),
        point: (z, how) => explorer.move(this, z, how),
        step: ([dx, dy]) => {
          const z = [this.point[0] + dx, this.point[1] + dy];
          this.plane.follow(z);
          explorer.move(this, z, "set");
        },
        leave: () => explorer.leave(this),
        grab: (at) => this.grab(at),
        drag: (end, z) => explorer.setEnd(this, end.index, z),
        focus: () => this.point,
        key: (event) => explorer.key(this, event),
      },
    });
    this.plane.zoomButtons(head);

    const read = node("div", { className: "vw-read" }, panel);
    this.decoded = digitFigure(read, "decoded", explorer.shape);
    this.behind = digitFigure(read, "nearest digit", explorer.shape);
    const facts = node("dl", { className: "vw-facts" }, read);
    const fact = (term) => {
      node("dt", { textContent: term }, facts);
      return node("dd", {}, facts);
    };
    this.facts = { z: fact("z"), norm: fact("distance from origin"), near: fact("nearest test digit") };

    this.film = node("canvas", {
      className: "vw-film", role: "img", "aria-label": `${spec.name}: digits decoded from A to B`,
    }, panel);
    this.film.width = FRAMES * 84;
    this.film.height = 84;
    this.film.addEventListener("click", (event) => {
      const box = this.film.getBoundingClientRect();
      const t = ((event.clientX - box.left) / box.width * FRAMES - 0.5) / (FRAMES - 1);
      explorer.setWalk(Math.min(1, Math.max(0, t)));
    });
  }

  get z() { return this.hover ?? this.point; }

  drawBase(ctx) {
    const { explorer, plane } = this, { theme, show } = explorer;
    if (show !== "codes") this.drawTiles(ctx);
    plane.grid(ctx, theme);
    if (show !== "decodes") {
      plane.points(ctx, this.codes, theme, { out: explorer.classKey.out, alpha: show === "both" ? 0.45 : 0.6 });
    }
    plane.circles(ctx, theme);
    plane.numbers(ctx, theme);
    if (show !== "decodes") plane.classLabels(ctx, this.codes, explorer.classes, theme, explorer.classKey.out);
  }

  // A grid of decoded digits over what is in sight, decoded a few at a time so that the page
  // stays responsive; the next redraw shows how far it has come.
  drawTiles(ctx) {
    const { plane, explorer } = this, { x, y, reach } = plane.view;
    const side = Math.max(8, Math.round(plane.size / 27)), tile = plane.size / side;
    const key = [x, y, reach, side].join();
    if (this.tiles?.key !== key) this.tiles = { key, done: [] };
    const { done } = this.tiles, start = performance.now();
    while (done.length < side * side && performance.now() - start < 14) {
      const i = done.length % side, j = Math.floor(done.length / side);
      done.push(this.decoder.mean(plane.toPlane([(i + 0.5) * tile, (j + 0.5) * tile])));
    }
    ctx.globalAlpha = explorer.show === "both" ? 0.5 : 1;
    done.forEach((pixels, k) => {
      drawDigit(ctx, pixels, explorer.shape, (k % side) * tile, Math.floor(k / side) * tile, tile, explorer.theme.fg, true);
    });
    ctx.globalAlpha = 1;
    if (done.length < side * side) setTimeout(() => plane.redraw(), 0);
  }

  drawOverlay(ctx) {
    const { plane, codes, explorer } = this, { theme } = explorer;
    const [a, b] = this.ends.map((end) => plane.toPixel(end));
    for (const [width, ink] of [[4, theme.panel], [1.5, theme.fg]]) {
      ctx.lineWidth = width;
      ctx.strokeStyle = ink;
      ctx.setLineDash(width > 2 ? [] : [5, 4]);
      ctx.globalAlpha = width > 2 ? 0.5 : 0.9;
      ctx.beginPath();
      ctx.moveTo(...a);
      ctx.lineTo(...b);
      ctx.stroke();
    }
    ctx.setLineDash([]);
    ctx.globalAlpha = 1;
    this.ends.forEach((end, i) => plane.badge(ctx, end, "AB"[i], theme));
    if (this.linked >= 0) {
      const label = codes.labels[this.linked];
      plane.ring(ctx, codes.at(this.linked), 9, classColor(theme, label), theme);
    }
    if (this.near?.index >= 0) {
      const code = codes.at(this.near.index);
      const color = classColor(theme, codes.labels[this.near.index]);
      ctx.strokeStyle = color;
      ctx.lineWidth = 1.5;
      ctx.beginPath();
      ctx.moveTo(...plane.toPixel(this.z));
      ctx.lineTo(...plane.toPixel(code));
      ctx.stroke();
      plane.ring(ctx, code, 3.5, color, theme);
    }
    plane.crosshair(ctx, this.z, theme);
  }

  grab(at) {
    const index = this.ends.findIndex((end) => {
      const [x, y] = this.plane.toPixel(end);
      return Math.hypot(x - at[0], y - at[1]) < 12;
    });
    return index < 0 ? null : { index };
  }

  // Decode the point, find the digit behind it, say both.
  refresh() {
    const { explorer, codes, z } = this;
    this.pixels = this.decoder.mean(z, this.pixels);
    this.near = codes.nearest(z);
    this.decoded.show(this.pixels, explorer.theme, `Digit decoded at ${pair(z)}`);
    this.facts.z.textContent = pair(z);
    this.facts.norm.textContent = fixed(Math.hypot(...z), 2);
    const label = this.nearLabel();
    this.behind.show(this.atlas.digit(this.near.index), explorer.theme, `Nearest test digit, a ${label}`);
    this.facts.near.textContent = `${label}, at distance ${fixed(this.near.distance, 2)}`;
    this.plane.touch();
  }

  nearLabel() { return this.explorer.classes[this.codes.labels[this.near.index]]; }

  along(t) { return [0, 1].map((i) => this.ends[0][i] + t * (this.ends[1][i] - this.ends[0][i])); }

  refreshFilm() {
    const { film, explorer } = this, { theme } = explorer, ctx = film.getContext("2d");
    const side = film.width / FRAMES;
    ctx.clearRect(0, 0, film.width, film.height);
    for (let k = 0; k < FRAMES; k++) {
      this.frame = this.decoder.mean(this.along(k / (FRAMES - 1)), this.frame);
      drawDigit(ctx, this.frame, explorer.shape, k * side, 0, side, theme.fg, true);
    }
    ctx.fillStyle = theme.accent;
    ctx.fillRect((explorer.walk * (FRAMES - 1) + 0.5) * side - 14, film.height - 5, 28, 5);
  }

  repaint() { this.plane.redraw(); this.refresh(); this.refreshFilm(); }
}

class Explorer {
  constructor(root, model, parts, undo) {
    Object.assign(this, parts); // shape, classes, labels
    this.root = root;
    this.model = model;
    this.show = "codes";
    this.walk = model.get("walk");
    this.theme = THEMES[isDark(root) ? "dark" : "light"];
    this.buildBar();
    const planes = node("div", { className: "vw-planes" }, root);
    planes.dataset.count = parts.panels.length;
    this.panels = parts.panels.map(([spec, own]) => new Panel(this, planes, spec, own));
    this.buildWalk();
    this.buildHelp();
    this.say = announcer(root);
    this.active = this.panels.find((panel) => panel.name === model.get("model_name")) ?? this.panels[0];
    this.active.point = [...model.get("z")];
    this.setEnds(this.active, model.get("start"), model.get("end"));
    this.traits = traits(model, ["z", "model_name", "start", "end", "walk"], (name, value) => this.pull(name, value));
    undo.push(() => { this.stop(); this.traits.close(); this.panels.forEach((panel) => panel.plane.close()); });
    undo.push(followTheme(root, (theme) => { this.theme = theme; this.repaint(); }));
    this.markActive();
  }

  // ------------------------------------------------------------ layout

  buildBar() {
    const bar = node("div", { className: "vw-bar" }, this.root);
    this.classKey = new ClassKey(bar, this.classes, {
      onOut: () => this.panels?.forEach((panel) => panel.plane.redraw()),
      say: (text) => this.say(text),
      describe: (k) => this.panels.map((panel) => `median in ${panel.name} ${pair(panel.codes.medians[k], 1)}`).join(", "),
    });
    const second = node("div", { className: "vw-bar" }, this.root);
    choice(second, "Shown in the plane",
      [["codes", "Codes"], ["decodes", "Grid"], ["both", "Both"]], this.show,
      (value) => { this.show = value; this.repaint(); });
    if (this.panelsWanted() > 1) {
      toggle(second, "Same scale", false, (on) => this.sameScale(on), {
        className: "vw-push", title: "One scale for all planes",
      });
    }
  }

  panelsWanted() { return this.model.get("payload").models.length; }

  buildWalk() {
    const row = node("div", { className: "vw-walk", role: "group", "aria-label": "Walk from A to B" }, this.root);
    button(row, "Set A here", () => this.setEnd(this.active, 0, this.active.point), { title: "Key A" });
    button(row, "Set B here", () => this.setEnd(this.active, 1, this.active.point), { title: "Key B" });
    this.play = button(row, "▶ Walk", () => (this.timer ? this.stop() : this.start()), { className: "vw-play" });
    this.slide = slider(row, "Walk from A to B", { value: this.walk }, (t) => { this.stop(); this.setWalk(t); });
    this.share = node("output", {}, row);
  }

  buildHelp() {
    const details = keysHelp(this.root, [
      ["pointer", "decode what is under it; click to stay there; drag A or B"],
      ["arrows", "move the point; with Shift five times as far"],
      ["a, b", "set the start or the end of the walk at the point"],
      ["0 – 9", "go to the median code of that class"],
      ["+, −, Home", "zoom in, zoom out, whole plane; drag to pan"],
      ["space", "walk from A to B, or stop"],
      ["wheel, pinch", "zoom; the wheel only after a click on the plane"],
      CLASS_KEY_HELP,
    ]);
    node("p", {
      className: "vw-note",
      textContent: "Circles: distance 1, 2 and 3 from the origin, the prior’s standard deviations. "
        + "A ring in the other plane marks the same test digit. A walk in the other plane runs "
        + "between the same two test digits.",
    }, details);
  }

  // ------------------------------------------------------------ acting

  repaint() { this.panels?.forEach((panel) => panel.repaint()); }

  sameScale(on) {
    const homes = this.panels.map((panel) => panel.codes.extent());
    const reach = Math.max(...homes.map((home) => home.reach));
    this.panels.forEach((panel, k) => panel.plane.setHome(on ? { ...homes[k], reach } : homes[k]));
  }

  markActive() {
    this.panels.forEach((panel) => panel.plane.box.toggleAttribute("data-active", panel === this.active));
  }

  // The walk of another plane is its own: bring the traits over with the plane.
  activate(panel) {
    if (panel === this.active) return;
    this.active = panel;
    this.markActive();
    this.traits.push({ model_name: panel.name, start: panel.ends[0], end: panel.ends[1] });
  }

  move(panel, z, how) {
    if (how === "set") { this.stop(); panel.point = z; panel.hover = null; this.activate(panel); }
    else panel.hover = z;
    panel.refresh();
    this.link(panel);
    if (panel === this.active) this.traits.push({ z: [...z] });
    if (how === "set") this.announce(panel);
  }

  leave(panel) {
    if (!panel.hover) return;
    panel.hover = null;
    panel.refresh();
    this.link(null);
    if (panel === this.active) this.traits.push({ z: [...panel.point] });
  }

  // Where the other models put the same test digit.
  link(from) {
    for (const panel of this.panels) {
      const index = from && panel !== from ? from.near.index : -1;
      if (index === panel.linked) continue;
      panel.linked = index;
      panel.plane.touch();
    }
  }

  announce(panel) {
    this.say(`${panel.name}: z ${pair(panel.point)}, nearest test digit ${panel.nearLabel()}, ${fixed(panel.near.distance, 2)} away`);
  }

  // A in this plane; in the others, the code of the test digit nearest to it.
  placeEnd(panel, index, z) {
    panel.ends[index] = [...z];
    const same = panel.codes.nearest(z).index;
    for (const other of this.panels) if (other !== panel) other.ends[index] = other.codes.at(same);
  }

  setEnd(panel, index, z) {
    this.stop();
    this.activate(panel);
    this.placeEnd(panel, index, z);
    this.panels.forEach((each) => { each.refreshFilm(); each.plane.touch(); });
    this.traits.push({ [index ? "end" : "start"]: [...z] });
    this.say(`${"AB"[index]} set at ${pair(z)}`);
  }

  setEnds(panel, start, end) {
    this.placeEnd(panel, 0, start);
    this.placeEnd(panel, 1, end);
    this.panels.forEach((each) => { if (each !== panel) each.point = each.along(this.walk); });
    this.showWalk();
  }

  showWalk() {
    this.slide.value = this.walk;
    this.share.textContent = `${Math.round(100 * this.walk)} %`;
  }

  setWalk(t, tell = true) {
    this.walk = t;
    this.showWalk();
    for (const panel of this.panels) {
      panel.hover = null;
      panel.point = panel.along(t);
      panel.refresh();
      panel.refreshFilm();
    }
    this.traits.push({ walk: t, z: [...this.active.point] });
    if (tell) this.announce(this.active);
  }

  // With reduced motion the walk goes in eleven still steps instead of gliding.
  start() {
    const still = reducedMotion(), began = performance.now();
    const from = this.walk >= 0.999 ? 0 : this.walk;
    this.play.textContent = "■ Stop";
    const step = (now) => {
      let t = from + (now - began) / (1000 * WALK_SECONDS);
      if (still) t = Math.floor(t * (FRAMES - 1) + 1e-6) / (FRAMES - 1);
      if (t >= 1) { this.setWalk(1); this.stop(); return; }
      if (t !== this.walk) this.setWalk(t, false);
      this.timer = requestAnimationFrame(step);
    };
    this.timer = requestAnimationFrame(step);
  }

  stop() {
    cancelAnimationFrame(this.timer);
    this.timer = 0;
    this.play.textContent = "▶ Walk";
  }

  key(panel, event) {
    const key = event.key.toLowerCase();
    if (key === "a" || key === "b") this.setEnd(panel, key === "a" ? 0 : 1, panel.point);
    else if (key === " ") { this.activate(panel); if (this.timer) this.stop(); else this.start(); }
    else if (/^\d$/.test(key) && this.classes.includes(key)) {
      const z = panel.codes.medians[this.classes.indexOf(key)];
      panel.plane.follow(z);
      this.move(panel, [...z], "set");
    } else return false;
    return true;
  }

  // A trait set in Python.
  pull(name, value) {
    this.stop();
    const { active } = this;
    if (name === "model_name") {
      const panel = this.panels.find((each) => each.name === value);
      if (panel) this.activate(panel);
    } else if (name === "walk") this.setWalk(value);
    else if (name === "z") { active.point = [...value]; active.hover = null; active.plane.follow(value); active.refresh(); }
    else {
      this.placeEnd(active, name === "start" ? 0 : 1, value);
      this.panels.forEach((panel) => { panel.refreshFilm(); panel.plane.touch(); });
    }
  }
}

function render({ model, el }) {
  const { models, shape, classes, labels, atlas } = model.get("payload");
  return frame(model, el, "Latent explorer", async (root, undo) => {
    const classOf = new Uint8Array(await loadBlob(model, labels));
    const digits = new Atlas(await loadBlob(model, atlas));
    const panels = [];
    for (const spec of models) {
      const decoder = new Decoder(await loadBlob(model, spec.decoder.sha), spec.decoder);
      const codes = new Codes(await loadBlob(model, spec.codes.sha), spec.codes.scale, classOf, classes.length);
      panels.push([spec, { decoder, codes, atlas: digits }]);
    }
    const explorer = new Explorer(root, model, { shape, classes, panels }, undo);
    const named = (name) => explorer.panels.find((panel) => panel.name === name) ?? explorer.active;
    // For tests and the curious: what the page computes, callable from the console.
    root.parentElement.__vae = {
      explorer,
      decode: (z, name) => Array.from(named(name).decoder.mean(z)),
      nearest: (z, name) => named(name).codes.nearest(z),
      state: () => ({
        model_name: explorer.active.name, z: explorer.active.z, walk: explorer.walk,
        start: explorer.active.ends[0], end: explorer.active.ends[1],
        decoded: Array.from(explorer.active.pixels),
      }),
    };
  });
}

export default { render };
