// TrainingLab: a VAE that trains in the page. The engine is in train.js, the session in
// train_session.js, its Worker in train_host.js, a run's pictures in lab_view.js.

const LAB_TELL = 4000; // ms between two announcements while it trains

class TrainingLab {
  constructor(root, model, undo, given) {
    Object.assign(this, { root, model, ...given }); // images, classes, shape, start, slices
    const { defaults, plane } = model.get("payload");
    Object.assign(this, { defaults, plane, isOwn: this.start !== null });
    this.live = Boolean(model.get("mark")); // there is a kernel behind the page
    this.settings = this.read(model.get("settings"));
    this.forks = this.readForks(model.get("forks"));
    this.chosen = this.number(model.get("chosen"), 0);
    this.speed = this.number(model.get("speed"), 0);
    this.running = false;
    this.step = 0;
    this.altered = false; // settings changed after the first step
    this.edited = 0;
    this.out = -1;
    this.views = [];
    this.serial = 0;
    this.told = 0;
    this.theme = THEMES[isDark(root) ? "dark" : "light"];
    this.build(root);
    this.say = announcer(root, 2000);
    this.host = new TrainHost((message) => this.hear(message), { slices: this.slices });
    this.traits = traits(model, ["settings", "forks", "chosen", "speed", "running", "step"], (name, value) => this.pull(name, value), 150);
    const hidden = () => this.hide(document.hidden);
    document.addEventListener("visibilitychange", hidden);
    undo.push(() => {
      document.removeEventListener("visibilitychange", hidden);
      clearTimeout(this.slow);
      clearTimeout(this.drawing);
      cancelAnimationFrame(this.painting);
      this.host.close();
      this.traits.close();
      this.dissection.close();
      this.views.forEach((view) => view.close());
      this.curves.close();
    });
    undo.push(followTheme(root, (theme) => {
      this.theme = theme;
      this.curves.setTheme(theme);
      this.views.forEach((view) => { view.space?.setTheme(theme); view.draw(); });
      this.dissection.show();
    }));
    this.host.send({ kind: "speed", rate: this.speed || Infinity });
    const to = this.live ? model.get("step") : 0;
    // A link may say what does not go together, as points with a Bernoulli likelihood.
    if (!this.live) this.tell({ settings: this.settings, forks: this.forks });
    this.restart();
    if (model.get("running")) this.play(true);
    else if (to > 0) this.play(true, to);
  }

  number(value, other) { return Number.isFinite(value) && value >= 0 ? value : other; }
  read(values) { return labSettings(values, this.defaults, this.isOwn); }
  readForks(values) {
    if (!Array.isArray(values)) return [];
    return values.slice(0, LAB_RUNS - 1).map((change) => labChange(labSettings(change, this.settings, this.isOwn), this.settings));
  }

  get runs() { return [this.settings, ...this.forks.map((change) => ({ ...this.settings, ...change }))]; }
  get planar() { return LAB_PLANAR.includes(this.settings.data); }

  // ------------------------------------------------------------ layout

  build(root) {
    const bar = node("div", { className: "vw-bar vw-lab-top" }, root);
    this.playButton = button(bar, "▶ Play", () => this.play(!this.running), { className: "vw-lab-play", title: "Train (Space)" });
    this.stepButton = button(bar, "Step", () => this.one(), { title: "One step (→)" });
    button(bar, "Reset", () => this.reset(), { title: "Back to the first weights (R)" });
    this.speedSelect = labSelect(bar, "speed", LAB_SPEEDS, this.speed, (value) => this.setSpeed(value));
    if (!this.isOwn) this.dataSelect = labSelect(bar, "data", LAB_DATA, this.settings.data, (value) => this.setData(value));
    this.clear = button(bar, "Clear points", () => this.setSettings({ points: [] }));
    this.counter = node("output", { className: "vw-push vw-lab-counter", "aria-label": "Steps taken" }, bar);
    this.alert = node("div", { className: "vw-lab-alert", role: "alert", hidden: true }, root);
    this.runRow = node("div", { className: "vw-lab-runs" }, root);
    if (!this.isOwn || this.classes.length > 1) {
      this.key = new ClassKey(root, this.classes, { onOut: (k) => { this.out = k; this.views.forEach((view) => view.plane.redraw()); }, say: (text) => this.say(text) });
    }
    const panel = node("div", { className: "vw-lab-panel" }, root);
    const head = node("div", { className: "vw-bar" }, panel);
    this.editBox = node("div", { className: "vw-lab-edit" }, head);
    this.forkButton = button(head, "Fork: compare from here", () => this.fork(), { className: "vw-push", title: "A second run from these very weights, with the same batches and noise: then change one thing" });
    this.controls = node("div", { className: "vw-lab-controls" }, panel);
    this.selects = Object.fromEntries(LAB_CONTROLS.map(([name, text, options, title]) => [
      name, labSelect(this.controls, text, options, this.settings[name], (value) => this.edit({ [name]: value }), title),
    ]));
    const seed = node("label", { className: "vw-lab-field", title: "Of first weights, batches and noise" }, this.controls);
    node("span", { textContent: "seed" }, seed);
    this.seed = node("input", { type: "number", min: 0, max: 2 ** 31 - 1, step: 1, value: this.settings.seed }, seed);
    this.seed.addEventListener("change", () => {
      const value = Math.floor(Number(this.seed.value));
      if (Number.isFinite(value) && value >= 0 && value < 2 ** 31) this.setSettings({ seed: value });
      else this.seed.value = this.settings.seed;
    });
    const faults = node("div", { className: "vw-lab-faults", role: "group", "aria-label": "Break it" }, panel);
    node("span", { className: "vw-lab-name", textContent: "Break it:" }, faults);
    this.faults = Object.fromEntries(LAB_FAULTS.map(([key, name, what]) => [key, toggle(faults, name, false, (on) => this.breakIt(key, on), { title: what })]));
    this.watch = node("div", { className: "vw-note vw-lab-watch" }, panel);
    this.curves = new LabCurves(root, this);
    this.dissection = new LabDissect(root, this);
    keysHelp(root, [
      ["Space, P", "train or pause (with the focus anywhere but on a control)"],
      ["S", "one step"],
      ["R", "reset"],
      ["arrows on a map", "choose the next example that way"],
      ["click on a map", "choose the nearest example"],
      ["wheel, + and −", "look closer at a map, or from further away"],
      ...(this.isOwn ? [] : [["draw your own", "draw with the mouse or a finger; or move the pen by arrow keys and press Enter"]]),
      CLASS_KEY_HELP,
    ]);
    root.addEventListener("keydown", (event) => this.press(event));
  }

  buildRuns() {
    this.views.forEach((view) => view.close());
    const { runs } = this;
    this.edited = Math.min(this.edited, runs.length - 1);
    this.runRow.dataset.count = runs.length;
    this.views = runs.map((_, run) => new LabView(this.runRow, this, run));
    this.editBox.replaceChildren();
    if (runs.length > 1) {
      node("span", { className: "vw-lab-name", textContent: "Change" }, this.editBox);
      choice(this.editBox, "Run to change", runs.map((_, i) => [i, `run ${"ABC"[i]}`]), this.edited, (i) => { this.edited = i; this.showControls(); this.dissection.ask(); });
    }
    this.showControls();
  }

  showControls() {
    const run = this.runs[this.edited], { planar, isOwn } = this, ae = run.model === "AE";
    for (const [name] of LAB_CONTROLS) this.selects[name].show(run[name]);
    const off = (name, when) => { this.selects[name].box.disabled = when; };
    for (const name of ["model", "hidden", "latents", "activation", "likelihood", "sigma"]) off(name, isOwn);
    if (!isOwn) { off("likelihood", planar); off("sigma", run.likelihood === "bernoulli"); }
    off("beta", ae);
    off("estimator", ae);
    this.seed.value = this.settings.seed;
    this.seed.disabled = isOwn;
    this.clear.hidden = this.settings.data !== "drawn";
    this.dataSelect?.show(this.settings.data);
    this.speedSelect.show(this.speed);
    this.forkButton.disabled = this.runs.length >= LAB_RUNS;
    const lines = LAB_FAULTS.filter(([key]) => run.faults.includes(key));
    for (const [key] of LAB_FAULTS) {
      this.faults[key].setOn(run.faults.includes(key));
      this.faults[key].disabled = (ae && !["mean-over-pixels", "no-link"].includes(key)) || (planar && key === "no-link");
    }
    this.watch.replaceChildren(...lines.map(([, name, what, watch]) => {
      const line = node("p", {});
      node("strong", { textContent: `${name}: ` }, line);
      line.append(`${what} ${watch}`);
      return line;
    }));
    if (!lines.length) this.watch.textContent = ae ? "An autoencoder has no KL and draws nothing: most faults have nothing to break." : "Each switch is a classic mistake. What it does to the program, and what to watch, is said here.";
    this.views.forEach((view, i) => {
      const change = i ? labWords(labChange(this.runs[i], this.settings)) || "no change yet" : labWords({ model: run && this.settings.model, ...(this.settings.faults.length ? { faults: this.settings.faults } : {}) });
      view.title.textContent = this.runs.length > 1 ? `${"ABC"[i]}: ${change}` : "";
      view.panel.setAttribute("aria-label", `Run ${"ABC"[i]}: ${change}`);
      view.panel.style.setProperty("--vw-run", i ? `var(--vw-class-${LAB_COLORS[i]})` : "var(--vw-accent)");
    });
    this.dissection.write();
  }

  // ------------------------------------------------------------ acting

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (["SELECT", "INPUT", "SUMMARY"].includes(event.target.tagName)) return;
    const key = event.key.toLowerCase();
    if (key === "p" || (key === " " && event.target.tagName !== "BUTTON" && event.target.role !== "slider")) this.play(!this.running);
    else if (key === "s") this.one();
    else if (key === "r") this.reset();
    else return;
    event.preventDefault();
  }

  get ready() { return this.settings.data !== "drawn" || this.settings.points.length > 0; }

  play(on, to = 0) {
    if (on && !this.ready) { this.warn("There are no points to train on yet: draw some in the data space."); return; }
    if (on && this.failure) this.reset();
    this.running = on;
    this.until = to;
    this.host.send({ kind: "play", on, to });
    this.showRunning();
    if (!on) this.pushWeights();
    this.traits.push({ running: on });
    this.say(on ? "Training" : `Paused at step ${this.step}`);
  }

  one() {
    if (!this.ready || this.failure) return;
    if (this.running) this.play(false);
    this.host.send({ kind: "one" });
    this.dissection.ask();
  }

  reset() {
    const was = this.running && !this.failure;
    this.restart();
    if (was) this.play(true);
    else this.traits.push({ running: false });
    this.say("Back at the first weights");
  }

  // All runs at step 0. The data travel to the session only where they have changed.
  restart() {
    this.running = false;
    this.failure = null;
    this.alert.hidden = true;
    this.step = 0;
    this.altered = false;
    this.frame = null;
    const { data, seed, points, likelihood } = this.settings, kinds = [...new Set(this.runs.map((run) => run.likelihood))];
    const name = JSON.stringify(this.planar ? [data, seed, points] : [data, kinds]);
    if (this.dataName !== name) {
      this.dataName = name;
      // One set of numbers for all: where the runs' likelihoods differ, each takes the black-and-white ones.
      this.data = this.planar ? trainPlanar(data, seed, points) : trainDigits(this.images, kinds.includes("bernoulli") ? "bernoulli" : likelihood);
      this.sentData = false;
    }
    const count = this.data.labels.length;
    this.chosen = Math.min(this.chosen, count - 1);
    this.digits = this.planar ? [] : this.classes.map((_, k) => this.data.labels.indexOf(k)).filter((i) => i >= 0).slice(0, 10);
    this.serial += 1;
    if (this.painting) this.host.send({ kind: "seen" }); // what was being painted is no longer wanted
    cancelAnimationFrame(this.painting);
    this.painting = 0;
    const { pixels, link, train, heldOut } = this.data;
    this.buildRuns();
    this.views.forEach((view) => view.show(null));
    this.host.send({
      kind: "start", settings: this.settings, forks: this.forks, weights: this.start, mark: this.serial,
      given: this.sentData ? null : { pixels, link, train: train.slice(), heldOut: heldOut.slice() },
    });
    this.sentData = true;
    this.tell({ step: 0, altered: false });
    this.host.send({ kind: "choose", index: this.chosen, digits: this.digits });
    this.showRunning();
    if (this.key) this.key.group.hidden = this.planar;
  }

  showRunning() {
    this.playButton.textContent = this.running ? "❚❚ Pause" : "▶ Play";
    this.playButton.setAttribute("aria-label", this.running ? "Pause" : "Play");
    this.counter.textContent = `step ${this.step.toLocaleString("en")}`;
  }

  // Settings of all runs; the forks keep what they change.
  setSettings(values) {
    const before = this.settings, was = this.running;
    this.settings = labSettings(values, before, this.isOwn);
    this.forks = this.forks.map((change) => labChange({ ...this.settings, ...change }, this.settings));
    this.tellSettings();
    if (LAB_STRUCTURE.some((name) => !labSame(before[name], this.settings[name]))) {
      this.restart();
      if (was && this.ready) this.play(true);
    } else this.changeLive();
  }

  changeLive() {
    this.runs.forEach((settings, run) => this.host.send({ kind: "change", run, settings }));
    this.showControls();
    this.dissection.ask();
    this.alter();
  }

  // From here on the run is not one that has had its settings from the first step.
  alter() {
    this.altered ||= this.step > 0 || this.running;
    this.tell({ altered: this.altered });
  }

  // What Python, or the lines behind Copy as Python, are to know. Without a kernel at once.
  tell(values) {
    if (this.live) { this.traits.push(values); return; }
    this.telling = true;
    for (const [name, value] of Object.entries(values)) this.model.set(name, value);
    this.telling = false;
  }

  // A change of the run that is being edited.
  edit(values) {
    if (!this.edited) { this.setSettings(values); return; }
    const before = this.runs[this.edited], was = this.running;
    const after = labSettings(values, before, this.isOwn);
    this.forks = this.forks.map((change, i) => (i === this.edited - 1 ? labChange(after, this.settings) : change));
    this.tellSettings();
    if (LAB_STRUCTURE.some((name) => !labSame(before[name], after[name]))) {
      this.restart();
      if (was) this.play(true);
    } else this.changeLive();
  }

  breakIt(key, on) {
    const { faults } = this.runs[this.edited];
    this.edit({ faults: LAB_FAULTS.map(([k]) => k).filter((k) => (k === key ? on : faults.includes(k))) });
    const [, name, what, watch] = LAB_FAULTS.find(([k]) => k === key);
    this.say(on ? `${name}. ${what} ${watch}` : `${name} mended`);
  }

  setData(data) {
    const was = LAB_PLANAR.includes(this.settings.data), is = LAB_PLANAR.includes(data);
    const { hidden, activation, likelihood, sigma } = this.defaults;
    const fitting = was === is ? {} : is ? this.plane : { hidden, activation, likelihood, sigma };
    if (was !== is) this.forks = [];
    this.chosen = 0;
    this.setSettings({ data, ...fitting });
  }

  setSpeed(value) {
    this.speed = value;
    this.host.send({ kind: "speed", rate: value || Infinity });
    this.traits.push({ speed: value });
  }

  addPoint([x, y]) {
    const { points } = this.settings, last = points.at(-1);
    if (points.length >= LAB_MOST_POINTS || (last && Math.hypot(last[0] - x, last[1] - y) < 0.06)) return;
    const round = (v) => Math.round(100 * v) / 100;
    this.settings = { ...this.settings, points: [...points, [round(x), round(y)]] };
    this.alert.hidden = true;
    this.views.forEach((view) => view.space?.redraw());
    clearTimeout(this.drawing);
    this.drawing = setTimeout(() => { this.tellSettings(); const was = this.running; this.restart(); if (was) this.play(true); }, 250);
  }

  fork() {
    if (this.runs.length >= LAB_RUNS) return;
    this.forks = [...this.forks, {}];
    this.edited = this.forks.length;
    this.host.send({ kind: "fork", settings: this.runs.at(-1) });
    this.buildRuns();
    this.views.forEach((view, i) => view.show(this.frame?.runs[Math.min(i, this.frame.runs.length - 1)] ?? null));
    this.tellSettings();
    this.alter();
    this.say(`Run ${"ABC"[this.edited]} starts from run A’s weights at step ${this.step}. Change one thing of it.`);
  }

  drop(run) {
    this.forks = this.forks.filter((_, i) => i !== run - 1);
    this.host.send({ kind: "drop", run });
    this.frame?.runs.splice(run, 1);
    this.buildRuns();
    this.views.forEach((view, i) => view.show(this.frame?.runs[i] ?? null));
    this.tellSettings();
  }

  choose(index) {
    this.chosen = index;
    this.host.send({ kind: "choose", index });
    this.traits.push({ chosen: index });
    this.dissection.ask();
    this.say(`Example ${index} chosen${this.planar ? "" : `, ${this.chosenLabel()}`}`);
  }

  chosenLabel() { return this.classes[this.data.labels[this.chosen]] ?? ""; }

  tellSettings() { this.traits.push({ settings: this.settings, forks: this.forks }); }

  hide(hidden) {
    if (hidden && this.running) {
      this.asleep = true;
      this.host.send({ kind: "play", on: false });
    } else if (!hidden && this.asleep) {
      this.asleep = false;
      if (this.running) this.host.send({ kind: "play", on: true, to: this.until });
    }
  }

  // ------------------------------------------------------------ hearing the session

  hear(message) {
    if (message.serial !== this.serial) {
      if (message.kind === "frame") this.host.send({ kind: "seen" });
      return;
    }
    if (message.kind === "frame") this.hearFrame(message);
    else if (message.kind === "dissection") this.dissection.hear(message);
    else if (message.kind === "weights") this.traits.push({ weights: new DataView(message.theta.buffer), step: message.step, history: labHistory(this.frame) });
  }

  hearFrame(frame) {
    if (frame.runs.length !== this.views.length) { this.host.send({ kind: "seen" }); return; } // a run came or went in between
    this.frame = frame;
    this.step = frame.step;
    const failed = frame.runs.findIndex((run) => run.failed);
    if (failed >= 0 && !this.failure) this.fail(failed, frame.runs[failed].failed);
    if (this.running && !frame.playing && !this.asleep && failed < 0 && frame.step > 0) this.arrive();
    this.paint([...this.views.map((view, i) => () => view.show(frame.runs[i])), () => this.curves.draw()]);
    this.showRunning();
    if (!this.running || !this.live) this.tell({ step: frame.step });
    const now = performance.now();
    if (now - this.told < LAB_TELL) return;
    this.told = now;
    if (!this.running) return;
    const { history } = frame.runs[0];
    this.say(`Step ${frame.step}: ELBO ${labNats(history.heldOut.at(-1), 1)} nats on held-out examples`);
    this.traits.push({ step: frame.step, history: labHistory(this.frame) });
  }

  // One picture in each frame of the browser, so that no frame is long; then the session may send more.
  paint(pictures) {
    const next = () => {
      pictures.shift()();
      this.painting = pictures.length ? requestAnimationFrame(next) : 0;
      if (this.painting) return;
      // With reduced motion the pictures change once a second.
      this.slow = setTimeout(() => this.host.send({ kind: "seen" }), reducedMotion() && this.running ? 1000 : 0);
    };
    cancelAnimationFrame(this.painting);
    clearTimeout(this.slow);
    next();
  }

  // A training that was to end at a step has got there.
  arrive() {
    if (!this.until || this.step < this.until) return;
    this.until = 0;
    this.running = false;
    this.traits.push({ running: false });
    this.pushWeights();
  }

  pushWeights() { this.host.send({ kind: "weights" }); }

  fail(run, { step, loss }) {
    this.failure = { run, step };
    this.running = false;
    const who = this.runs.length > 1 ? `Run ${"ABC"[run]}` : "The training";
    this.warn(`${who} stopped at step ${step.toLocaleString("en")}: its loss is ${loss === "NaN" ? "not a number" : "infinite"}. ${labCause(this.runs[run])}`, true);
    this.traits.push({ running: false });
  }

  warn(text, reset = false) {
    this.alert.replaceChildren(node("p", { textContent: text }));
    if (reset) button(this.alert, "Reset", () => { this.reset(); this.playButton.focus(); });
    this.alert.hidden = false;
  }

  // A trait set in Python.
  pull(name, value) {
    if (this.telling) return;
    if (name === "settings") this.setSettings(this.read(value));
    else if (name === "forks") {
      const forks = this.readForks(value);
      if (labSame(forks, this.forks)) return;
      this.forks = forks;
      this.restart();
    } else if (name === "chosen" && this.number(value, -1) !== this.chosen) this.choose(Math.min(this.number(value, 0), this.data.labels.length - 1));
    else if (name === "speed") { this.setSpeed(this.number(value, 0)); this.speedSelect.show(this.speed); }
    else if (name === "running" && Boolean(value) !== this.running) this.play(Boolean(value));
    else if (name === "step" && value !== this.step) {
      if (value < this.step) this.restart();
      if (value > 0) this.play(true, value);
    }
  }
}

function render({ model, el }) {
  return frame(model, el, "Training lab", async (root, undo) => {
    const { images, start } = model.get("payload"), [height, width] = images.shape;
    const pixels = unpackTrainDigits(await loadBlob(model, images.sha), { train: images.train, heldOut: images.heldOut, pixels: height * width, on: images.on });
    const weights = start ? new Float64Array((await loadBlob(model, start)).slice(0)) : null;
    const lab = new TrainingLab(root, model, undo, {
      images: pixels, classes: images.classes, shape: images.shape, start: weights, slices: Boolean(globalThis.vaeTrainInSlices),
    });
    // For tests and the curious.
    root.parentElement.__vae = {
      lab, engine: trainEngine(), planar: trainPlanar,
      state: () => ({
        settings: lab.settings, forks: lab.forks, chosen: lab.chosen, speed: lab.speed, running: lab.running, step: lab.step,
        edited: lab.edited, worker: Boolean(lab.host.worker), failure: lab.failure, steps: lab.frame?.steps ?? [],
        runs: lab.frame?.runs.map(({ history, kl, failed, axes }) => ({ history, kl, failed, axes })) ?? [],
      }),
    };
  });
}

export default { render };
