// One line of the derivation desk, and what the desk offers to begin with and to insert.

const DESK_MODES = [["whole", "Break a line"], ["blanks", "Fill blanks"], ["fault", "Find the fault"], ["empty", "From scratch"]];
const DESK_NOTES = {
  whole: "The book’s own lines. Change any of them, and see whether the check notices.",
  blanks: "Some lines are missing. Fill them in.",
  fault: "One of these lines is wrong. Find it, and put it right.",
  empty: "Each line is compared with the one before it; the last should be the goal.",
  task: "An exercise of this chapter, checked here as in the notebook.",
  entries: "An exercise of this chapter, checked here as in the notebook: each entry by itself.",
  hand: "Type a formula for the KL term of one latent dimension, in mu and sigma.",
};
// What a button inserts; ¤ is where the cursor goes.
const DESK_INSERTS = [
  ["log", "log ¤"], ["E[ ]", "E[¤]"], ["KL( ‖ )", "KL(¤ || )"], ["∫", "int(¤, z)"], ["𝒩", "N(z; ¤, )"],
  ["P(X|z)", "P(X|z)"], ["P(z|X)", "P(z|X)"], ["Q(z|X)", "Q(z|X)"], ["P(z)", "P(z)"], ["P(X, z)", "P(X, z)"], ["P(X)", "P(X)"],
  ["√", "sqrt(¤)"], ["x²", "^2"], ["fraction", "(¤) / ()"], ["≥ … gap", ">= ¤ gap "],
];

const deskLetter = (index) => (index >= 26 ? deskLetter(Math.floor(index / 26) - 1) : "") + String.fromCharCode(97 + (index % 26));
const onlyRelation = (text) => /^\s*(>=|<=|=|≥|≤)?\s*(#.*)?$/u.test(text);

// One line: a field with a copy of its text below it, in which a fault is underlined; the line set as
// mathematics; and what the check said.
class DeskLine {
  constructor(desk, text) {
    this.desk = desk;
    this.item = node("li", { className: "vw-line" }, null);
    this.name = node("span", { className: "vw-letter", "aria-hidden": "true" }, this.item);
    const body = node("div", { className: "vw-line-body" }, this.item);
    const field = node("div", { className: "vw-field" }, body);
    this.copy = node("div", { className: "vw-copy", "aria-hidden": "true" }, field);
    this.input = node("textarea", { rows: 1, spellcheck: false, autocomplete: "off", autocapitalize: "off", value: text }, field);
    this.input.setAttribute("autocorrect", "off");
    this.math = node("div", { className: "vw-math", tabIndex: -1 }, body);
    // A formula wider than its place is scrolled by keys; one that a font draws below its line gets room.
    const reach = () => {
      this.math.style.paddingBottom = "";
      const below = this.math.scrollHeight - this.math.clientHeight;
      if (below > 0) this.math.style.paddingBottom = `${below + 2}px`;
      this.math.tabIndex = this.math.scrollWidth > this.math.clientWidth || this.math.scrollHeight > this.math.clientHeight ? 0 : -1;
    };
    new MutationObserver(reach).observe(this.math, { childList: true, subtree: true });
    new ResizeObserver(reach).observe(this.math);
    this.said = node("p", { className: "vw-said", id: `desk-${desk.number}-${desk.made++}` }, body);
    this.input.setAttribute("aria-describedby", this.said.id);
    this.remove = button(this.item, "×", () => desk.remove(this), { className: "vw-remove" });
    this.input.addEventListener("input", () => desk.edited(this));
    this.input.addEventListener("focus", () => { desk.last = this; });
    this.input.addEventListener("keydown", (event) => desk.key(this, event));
  }

  get text() { return this.input.value.replace(/\n/g, " "); }
  get empty() { return onlyRelation(this.text); }

  // An entry is called by its key, and stays; any other line by a letter.
  label(index, count, entry = null) {
    this.name.textContent = entry ? entry[0] : `(${deskLetter(index)})`;
    this.input.setAttribute("aria-label", entry ? `${entry[0]}: ${entry[1]}` : `Line ${deskLetter(index)}`);
    this.input.placeholder = entry ? entry[1] : "";
    this.remove.setAttribute("aria-label", `Remove line ${deskLetter(index)}`);
    this.remove.disabled = count === 1;
    this.remove.hidden = entry !== null;
  }

  // Set as mathematics, or the fault underlined. Only what stands behind the cursor is not yet wrong.
  show() {
    const text = this.input.value;
    this.copy.textContent = `${text}\u200b`;
    this.math.replaceChildren();
    this.input.removeAttribute("aria-invalid");
    this.fault = null;
    if (this.empty || text.trim().startsWith("#")) return this.say("");
    try {
      const line = readLine(text, this.desk.names);
      this.math.append(mathLine(line, this.desk.over));
      if (line.reason) node("small", { textContent: line.reason }, this.math);
      return this.say("");
    } catch (fault) {
      if (!(fault instanceof NotationFault)) throw fault;
      this.fault = fault;
      const shown = `${text} `; // a fault at the end gets a place of its own
      this.copy.replaceChildren(shown.slice(0, fault.from));
      node("span", { className: "vw-fault", textContent: shown.slice(fault.from, fault.to) }, this.copy);
      this.copy.append(`${shown.slice(fault.to)}\u200b`);
      this.input.setAttribute("aria-invalid", "true");
      return this.say(fault.message, "reading");
    }
  }

  say(text, state = "") {
    this.said.textContent = text;
    this.item.dataset.state = state;
  }
}
