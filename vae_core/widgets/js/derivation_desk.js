// DerivationDesk: type a derivation line by line, and have every line proved or refuted.

const DESK_SLOW = 10_000;

class Desk {
  constructor(root, model, undo) {
    Object.assign(this, { root, model, number: (globalThis.vaeDesks = (globalThis.vaeDesks ?? 0) + 1), made: 0, run: 0 });
    Object.assign(this, model.get("payload")); // chapter, sheets
    this.python = pythonFor(model);
    this.sheet = this.sheets.find(({ id }) => id === model.get("sheet")) ?? this.sheets[0];
    this.mode = model.get("mode");
    this.build();
    this.say = announcer(root, 200);
    // In a page what was typed is in the browser's own store; a kernel says it itself.
    const given = this.python instanceof KernelPython ? model.get("lines") ?? [] : [];
    this.open(given.length ? given : null);
    model.set("lines", this.texts); // for Copy as Python
    this.traits = traits(model, ["sheet", "mode", "lines"], () => this.pulled());
    this.offerBreaking(undo);
    undo.push(() => { this.run++; this.traits.close(); if (this.python instanceof KernelPython) this.python.close(); });
  }

  build() {
    const bar = node("div", { className: "vw-bar" }, this.root);
    this.select = node("select", { className: "vw-select", "aria-label": "Derivation" }, bar);
    for (const [kind, label] of [["derivation", "From this chapter"], ["task", "Exercises"], ["entries", "Exercises"], ["hand", "Your own formula"]]) {
      const own = this.sheets.filter((sheet) => sheet.kind === kind);
      if (!own.length) continue;
      const group = node("optgroup", { label }, this.select);
      for (const { id, title } of own) node("option", { value: id, textContent: title }, group);
    }
    this.select.addEventListener("change", () => this.choose(this.select.value));
    this.modes = node("div", {}, bar);
    this.note = node("p", { className: "vw-note" }, this.root);
    this.ends = node("div", { className: "vw-ends" }, this.root);
    this.list = node("ol", { className: "vw-lines" }, this.root);
    this.inserts = node("div", { className: "vw-inserts", role: "toolbar", "aria-label": "Insert at the cursor" }, this.root);
    const actions = node("div", { className: "vw-bar vw-actions" }, this.root);
    this.check = button(actions, "Check", () => this.checkAll(), { className: "vw-check-all" });
    this.stop = button(actions, "Stop", () => this.python.stop(), { hidden: true });
    this.add = button(actions, "Add a line", () => this.insert(this.lines.length));
    button(actions, "Start over", () => this.startOver());
    this.status = node("p", { className: "vw-note vw-desk-status", role: "status" }, this.root);
    this.progress = node("progress", { max: 1, hidden: true, "aria-label": "Loading Python" }, this.root);
    this.result = node("div", { className: "vw-result" }, this.root);
    const help = node("details", {}, this.root);
    node("summary", { textContent: "Notation, keys" }, help);
    node("pre", { className: "vw-notation", textContent: this.notation }, help);
    const keys = node("dl", { className: "vw-keys" }, help);
    for (const [key, what] of [["Enter", "a new line below"], ["Ctrl+Enter", "check"], ["Backspace in an empty line", "remove it"], ["Alt+↑, Alt+↓", "to the line above, below"]]) {
      node("dt", { textContent: key }, keys);
      node("dd", { textContent: what }, keys);
    }
    this.idle();
  }

  // ------------------------------------------------------------- sheets

  get place() { return `vae-desk/${this.sheet.id}/${this.mode}`; }

  kept() {
    try {
      const lines = JSON.parse(localStorage.getItem(this.place));
      return Array.isArray(lines) && lines.length && lines.every((line) => typeof line === "string") ? lines : null;
    } catch { return null; } // no storage, or another's text
  }

  keep() {
    try {
      localStorage.setItem(this.place, JSON.stringify(this.texts));
    } catch { /* a browser that keeps nothing */ }
  }

  first() {
    const { kind, lines = [], blanks = [], fault, keys } = this.sheet;
    if (kind === "entries") return keys.map(() => "");
    if (kind !== "derivation" || this.mode === "empty") return kind === "hand" ? [""] : ["= "];
    if (this.mode === "blanks") return lines.map((line, index) => (blanks.includes(index) ? `${line.split(" ")[0]} ` : line));
    if (this.mode === "fault" && fault) return lines.map((line, index) => (index === fault.index ? fault.line : line));
    return [...lines];
  }

  open(given = null) {
    const { kind, title, before = "from", start, goal, names, over, fault } = this.sheet;
    this.run++;
    this.names = names;
    this.over = over;
    if (kind !== "derivation") this.mode = "empty";
    if (this.mode === "fault" && !fault) this.mode = "whole";
    this.select.value = this.sheet.id;
    this.modes.replaceChildren();
    if (kind === "derivation") {
      choice(this.modes, "Begin with", DESK_MODES.filter(([mode]) => mode !== "fault" || fault), this.mode, (mode) => { this.mode = mode; this.open(); this.push(); });
    }
    this.note.textContent = kind === "derivation" ? DESK_NOTES[this.mode] : DESK_NOTES[kind];
    this.ends.replaceChildren();
    for (const [label, text] of [[before, start], ["to", goal]]) {
      if (!text || (kind === "derivation" && label === "to" && !["empty", "blanks"].includes(this.mode))) continue;
      const end = node("p", { tabIndex: 0 }, this.ends); // a long formula is scrolled by keys
      node("span", { className: "vw-end", textContent: label }, end);
      const formula = readLine(text, names);
      end.append(mathLine({ ...formula, relation: "" }, over));
    }
    this.list.setAttribute("aria-label", title);
    this.fill(given ?? this.kept() ?? this.first());
    this.buildInserts();
    this.add.hidden = ["hand", "entries"].includes(kind);
    this.list.dataset.kind = kind;
  }

  fill(texts) {
    this.lines = texts.map((text) => new DeskLine(this, text));
    this.list.replaceChildren(...this.lines.map(({ item }) => item));
    this.last = this.lines[0];
    this.renumber();
    this.lines.forEach((line) => line.show());
    this.clear();
  }

  get texts() { return this.lines.map(({ text }) => text); }
  renumber() { this.lines.forEach((line, index) => line.label(index, this.lines.length, this.sheet.keys?.[index])); }
  push() { this.traits?.push({ sheet: this.sheet.id, mode: this.mode, lines: this.texts }); }

  // Lines that were this sheet's are not those of another that the kernel opens.
  pulled() {
    const before = JSON.stringify(this.texts), { sheet, mode } = this;
    this.sheet = this.sheets.find(({ id }) => id === this.model.get("sheet")) ?? this.sheet;
    this.mode = this.model.get("mode");
    const lines = this.model.get("lines") ?? [], old = JSON.stringify(lines) === before;
    if (old && sheet === this.sheet && mode === this.mode) return;
    this.open(lines.length && !old ? lines : null);
    if (old) this.push();
  }

  choose(id, mode = null) {
    this.sheet = this.sheets.find((sheet) => sheet.id === id);
    this.mode = mode ?? (this.sheet.kind === "derivation" ? this.mode : "empty");
    this.open();
    this.push();
  }

  startOver() {
    try { localStorage.removeItem(this.place); } catch { /* nothing was kept */ }
    this.fill(this.first());
    this.push();
    this.say("The sheet is as it was.");
  }

  // ------------------------------------------------------------- editing

  buildInserts() {
    const own = this.names.filter((name) => !["X", "Y", "z", "pi"].includes(name));
    const density = this.sheet.densities;
    const chosen = DESK_INSERTS.filter(([, text]) => density || !/[PQ]\(/.test(text)).filter(([label]) => !["hand", "entries"].includes(this.sheet.kind) || !["≥ … gap", "E[ ]", "KL( ‖ )", "∫", "𝒩"].includes(label));
    const list = [...chosen, ...own.map((name) => [NOTATION_LETTERS[name] ?? name, name])];
    this.inserts.replaceChildren();
    for (const [label, text] of list) {
      const one = button(this.inserts, label, () => this.put(text), { "aria-label": `Insert ${label}` });
      one.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps its cursor
    }
  }

  put(text) {
    const { input } = this.last, at = text.indexOf("¤"), inserted = text.replace("¤", "");
    input.focus();
    const { selectionStart: from, selectionEnd: to, value } = input;
    input.value = value.slice(0, from) + inserted + value.slice(to);
    const cursor = from + (at < 0 ? inserted.length : at);
    input.setSelectionRange(cursor, cursor);
    this.edited(this.last);
    this.say(`Inserted: ${inserted.trim()}`);
  }

  edited(line) {
    if (line.input.value.includes("\n")) this.split(line);
    line.show();
    this.run++;
    for (const other of this.lines.slice(this.lines.indexOf(line) + 1)) if (!other.fault) other.say("");
    this.clear();
    this.keep();
    this.push();
  }

  // Several lines that were pasted become several lines.
  split(line) {
    if (this.add.hidden) { line.input.value = line.text; return; }
    const [head, ...rest] = line.input.value.split("\n").filter((text) => text.trim());
    line.input.value = head ?? "";
    const at = this.lines.indexOf(line) + 1;
    rest.slice(0, 40).forEach((text, index) => this.insert(at + index, text));
  }

  insert(index, text = "= ") {
    const line = new DeskLine(this, text);
    this.lines.splice(index, 0, line);
    this.list.insertBefore(line.item, this.list.children[index] ?? null);
    this.renumber();
    line.show();
    line.input.focus();
    line.input.setSelectionRange(text.length, text.length);
    this.edited(line);
  }

  remove(line) {
    const index = this.lines.indexOf(line);
    if (this.lines.length === 1) return;
    this.lines.splice(index, 1);
    line.item.remove();
    this.renumber();
    const next = this.lines[Math.max(0, index - 1)];
    next.input.focus();
    this.edited(next);
  }

  key(line, event) {
    const index = this.lines.indexOf(line), { key } = event;
    if (key === "Enter" && (event.ctrlKey || event.metaKey)) this.checkAll();
    else if (key === "Enter" && this.add.hidden) {
      if (index + 1 < this.lines.length) this.lines[index + 1].input.focus();
      else this.checkAll();
    }
    else if (key === "Enter" && !event.shiftKey) this.insert(index + 1);
    else if (key === "Backspace" && line.empty && !this.add.hidden && this.lines.length > 1 && !event.repeat && line.input.value.trim().length <= 2) this.remove(line);
    else if (event.altKey && (key === "ArrowUp" || key === "ArrowDown")) this.lines[index + (key === "ArrowUp" ? -1 : 1)]?.input.focus();
    else return;
    event.preventDefault();
  }

  // ------------------------------------------------------------- checking

  idle() {
    if (!this.python) {
      this.check.disabled = true;
      this.status.textContent = "This page has no Python. Open the chapter as a notebook to have the lines checked; what you type is set as mathematics here.";
      return;
    }
    const more = this.python.ready ? "" : ` (loads Python, ${Math.round(this.python.megabytes)} MB)`;
    this.check.textContent = `Check${more}`;
  }

  clear() {
    this.result.replaceChildren();
    delete this.root.dataset.verdict;
  }

  async checkAll() {
    if (!this.python || this.busy) return;
    this.busy = true;
    this.check.disabled = true;
    this.clear();
    let slow = 0;
    try {
      if (!this.python.ready) {
        this.progress.hidden = false;
        await this.python.load((text) => this.stage(text));
        this.progress.hidden = true;
      }
      const run = ++this.run; // what was typed while Python came is what is checked
      this.stop.hidden = !this.python.canStop;
      slow = setTimeout(() => { this.status.textContent = "This line takes long. You can stop it."; }, DESK_SLOW);
      this.status.textContent = "Checking…";
      if (this.sheet.kind === "hand") await this.checkFormula(run);
      else await this.checkLines(run);
      this.status.textContent = run === this.run ? "" : "A line was changed meanwhile. Press Check again.";
    } catch (error) {
      const stopped = error instanceof StoppedByReader;
      this.status.textContent = stopped ? "Stopped. The lines without a verdict were not decided." : error.message;
      this.root.dataset.verdict = stopped ? "stopped" : "failed";
    } finally {
      clearTimeout(slow);
      Object.assign(this.stop, { hidden: true });
      Object.assign(this.progress, { hidden: true });
      this.busy = false;
      this.check.disabled = false;
      this.idle();
    }
  }

  stage(text) {
    this.status.textContent = text;
    const found = /: (\d+) of (\d+)/.exec(text);
    if (found) this.progress.value = Number(found[1]) / Number(found[2]);
    else this.progress.removeAttribute("value");
  }

  // Line by line, so that each verdict shows as soon as it is there; what was compared once is kept.
  async checkLines(run) {
    const texts = this.lines.map((line) => (line.empty ? "" : line.text));
    const filled = texts.flatMap((text, index) => (text.trim() && !text.trim().startsWith("#") ? [index] : []));
    if (!filled.length) { this.finish({ lines: [], goal: "unknown", hints: [], lacks: "" }, run); return; }
    let found;
    if (this.sheet.kind === "entries") {
      found = await this.python.ask({ kind: "check", ...this.sheet.ref, lines: texts });
      if (run !== this.run) return;
      for (const index of filled) this.lines[index].say(found.lines[index].text, found.lines[index].state);
      this.finish(found, run);
      return;
    }
    for (const [count, index] of filled.entries()) {
      const last = count === filled.length - 1;
      found = await this.python.ask({ kind: "check", ...this.sheet.ref, lines: texts.slice(0, index + 1), final: last });
      if (run !== this.run) return; // edited meanwhile
      const { state, text } = found.lines[index];
      this.lines[index].say(text, state);
      if (found.ended === null) continue;
      for (const later of filled.slice(count + 1)) this.lines[later].say("This line was not reached.", "unreached");
      break;
    }
    this.finish(found, run);
  }

  finish(found, run) {
    if (run !== this.run) return;
    const open = this.lines.findIndex((line) => line.empty);
    const wrong = found.lines.some(({ state }) => !["holds", "empty"].includes(state));
    const goal = this.sheet.goal;
    let text, verdict;
    const entries = this.sheet.kind === "entries";
    if (!found.lines.length) [text, verdict] = ["There is no line yet.", "empty"];
    else if (wrong) [text, verdict] = [`${found.lines.filter(({ state }) => state === "holds").length} of ${found.lines.filter(({ state }) => state !== "empty").length} ${entries ? "entries are right" : "lines checked hold"}.`, "wrong"];
    else if (entries && found.goal === "met") [text, verdict] = ["Every entry is right.", "right"];
    else if (entries) [text, verdict] = ["What is there is right; some entries are still empty.", "open"];
    else if (found.goal === "met") [text, verdict] = ["Every line holds, and the last is what was asked for.", "right"];
    else if (found.goal === "form") [text, verdict] = [`Every line holds, but ${found.lacks} is asked for.`, "form"];
    else if (found.goal === "undecided") [text, verdict] = ["Every line holds; whether the last is the goal was not decided.", "undecided"];
    else [text, verdict] = ["Every line holds, but the last is not yet the goal.", "open"];
    this.root.dataset.verdict = verdict;
    const line = node("p", { className: "vw-overall" }, this.result);
    node("span", { className: "vw-mark", textContent: verdict === "right" ? "✓ " : "✗ ", "aria-hidden": "true" }, line);
    line.append(text);
    if (verdict === "open" && goal) line.append(" The goal is ", mathLine({ ...readLine(goal, this.names), relation: "" }, this.over));
    this.say(text);
    const reasons = this.sheet.reasons ?? [], next = open >= 0 ? open : null;
    if (next !== null && this.mode === "blanks" && !wrong && reasons[next]) this.hints([reasons[next], this.sheet.lines[next]], `Line (${deskLetter(next)})`);
    else if (found.hints.length) this.hints(found.hints, "What is missing?");
    else if (verdict === "empty" && this.sheet.begin) this.hints([this.sheet.begin], "How to begin?");
    else if (verdict === "empty" && reasons.length) this.hints([reasons[0], this.sheet.lines[0]], "How to begin?");
  }

  hints(texts, title) {
    const box = node("div", { className: "vw-hints" }, this.result);
    let step = 0;
    const more = button(box, title, () => {
      const text = texts[step++], line = node("p", { tabIndex: -1 }, box);
      this.deskText(line, text);
      if (step === texts.length) more.remove();
      else more.textContent = "And exactly?";
      line.focus();
    });
  }

  // A text with TeX in it stays readable: the page's MathJax sets it, where there is one.
  deskText(line, text) {
    let formula = null;
    try { formula = /^(=|>=|<=)\s/.test(text) ? readLine(text, this.names) : null; } catch { /* no formula */ }
    if (formula) { line.append(mathLine(formula, this.over)); return; }
    line.textContent = text.replace(/\$([^$]*)\$/g, globalThis.MathJax?.typesetPromise ? "\\($1\\)" : "$1");
    globalThis.MathJax?.typesetPromise?.([line]).catch(() => {});
  }

  // ------------------------------------------------------------- a formula for the KL term

  async checkFormula(run) {
    const [line] = this.lines;
    if (line.empty) { this.finish({ lines: [], goal: "unknown", hints: [], lacks: "" }, run); return; }
    const found = await this.python.ask({ kind: "by hand", formula: line.text.replace(/^\s*=/, "") });
    if (run !== this.run) return;
    const right = found.state === "equal";
    line.say(found.text, { equal: "holds", unread: "unread" }[found.state] ?? "wrong");
    this.root.dataset.verdict = found.state;
    this.say(found.text);
    if (right || found.state === "unread") return;
    const number = (value) => (value === null ? "none" : fixed(value, 3));
    const facts = node("dl", { className: "vw-facts vw-hand" }, this.result);
    const fact = (label, text) => { node("dt", { textContent: label }, facts); node("dd", { textContent: text }, facts); };
    const { minimum, settles, sound } = found;
    fact("at the prior (μ = 0, σ = 1); the divergence is 0 there", number(found.at_prior));
    fact("its minimum; the divergence’s is 0 at μ = 0, σ = 1", minimum ? `${number(minimum.value)} at μ = ${number(minimum.mu)}, σ = ${number(minimum.sigma)}` : "none is reached");
    fact("a model trained with it", settles
      ? `settles at codes of variance ${number(settles.variance)} and a decoder with w = ${number(settles.w)} (with the divergence: ${number(sound.variance)} and ${number(sound.w)})`
      : "settles nowhere: its loss still falls as σ or μ runs away");
    node("p", { className: "vw-note", textContent: "The model is this chapter’s smallest: one number X of variance 5, a decoder N(wz, 1), an encoder N(aX, t²), trained to its optimum." }, this.result);
  }

  // ------------------------------------------------------------- the page's equations

  // A button under each equation of the page that is one of the sheets.
  offerBreaking(undo) {
    const offered = new Set();
    for (const { id, label } of this.sheets) {
      const equation = label && !offered.has(label) ? document.getElementById(`equation-${label}`) : null;
      if (!equation || equation.dataset.desk) continue;
      offered.add(label);
      equation.dataset.desk = this.number;
      const offer = node("button", { type: "button", className: "vae-break", textContent: "Try to break a line of this" });
      offer.addEventListener("click", () => {
        this.choose(id, "whole");
        this.root.scrollIntoView({ behavior: reducedMotion() ? "auto" : "smooth", block: "start" });
        this.lines[0].input.focus({ preventScroll: true });
      });
      equation.after(offer);
      undo.push(() => { offer.remove(); delete equation.dataset.desk; });
    }
  }
}

function render({ model, el }) {
  return frame(model, el, "Derivation desk", (root, undo) => {
    undo.push(followTheme(root, () => {}));
    const desk = new Desk(root, model, undo);
    el.__vae = {
      state: () => ({
        sheet: desk.sheet.id, mode: desk.mode, lines: desk.texts, verdict: root.dataset.verdict ?? "",
        states: desk.lines.map(({ item }) => item.dataset.state ?? ""), said: desk.lines.map(({ said }) => said.textContent),
      }),
      ask: (question) => desk.python.ask(question),
      read: (text, names = desk.names) => {
        try { return { tree: readLine(text, names) }; } catch (fault) { return { message: fault.message, from: fault.from, to: fault.to }; }
      },
    };
  });
}

export default { render };
