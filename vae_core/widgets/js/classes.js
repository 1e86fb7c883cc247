// Classes told apart without their hue: a mark of its own shape for each where a dot is big enough
// to have one, and a key by which one class is brought out while the others fade.

// Paths about (0, 0), of about one size to the eye.
const CLASS_MARKS = [
  "M1.15 0A1.15 1.15 0 1 1-1.15 0A1.15 1.15 0 1 1 1.15 0ZM.6 0A.6.6 0 1 0-.6 0A.6.6 0 1 0 .6 0Z", // ring
  "M-.45-1.3H.45V1.3H-.45Z", // upright bar
  "M0-1.25L1.2.9H-1.2Z", // triangle
  "M0-1.4L.85 0L0 1.4L-.85 0Z", // diamond
  "M-.36-1.25H.36V-.36H1.25V.36H.36V1.25H-.36V.36H-1.25V-.36H-.36Z", // plus
  "M-1.15-.65L-.65-1.15L0-.5L.65-1.15L1.15-.65L.5 0L1.15.65L.65 1.15L0 .5L-.65 1.15L-1.15.65L-.5 0Z", // cross
  "M0 1.25L1.2-.9H-1.2Z", // triangle on its tip
  "M0-1.4L.28-.4L1.33-.43L.46.15L.82 1.13L0 .5L-.82 1.13L-.46.15L-1.33-.43L-.28-.4Z", // star
  "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z", // disc
  "M-1.3-.45H1.3V.45H-1.3Z", // level bar
];
const CLASS_DISC = 8;
const CLASS_MARK_FROM = 2.6; // the radius, in pixels of the page, from which a shape can be told

function drawClassMark(ctx, label, x, y, radius, color, halo = null) {
  const path = new Path2D();
  path.addPath(new Path2D(CLASS_MARKS[label % CLASS_MARKS.length]), new DOMMatrix([radius, 0, 0, radius, x, y]));
  if (halo) {
    ctx.lineWidth = 1.5;
    ctx.lineJoin = "round";
    ctx.strokeStyle = halo;
    ctx.stroke(path);
  }
  ctx.fillStyle = color;
  ctx.fill(path, "evenodd");
}

// What a widget with a key says of it among its keys and gestures.
const CLASS_KEY_HELP = ["key of classes", "bring one class out: click, tap or space; arrows for the next; Escape for all alike"];

// The key. Mouse: passing over a class shows it, a click keeps it. Touch: a tap. Keyboard: space or
// enter; arrows go to the next class and, once one is brought out, take that along; Escape lets all
// stand alike again. `out` is the class brought out, or -1.
class ClassKey {
  // describe(k): what a screen reader should hear of a class besides its name.
  constructor(parent, classes, { onOut, say, describe = () => "" }) {
    Object.assign(this, { classes, onOut, say, describe, kept: -1, passing: -1 });
    this.group = node("div", {
      className: "vw-legend", role: "group", "aria-label": "Classes, to bring one out",
    }, parent);
    this.buttons = classes.map((name, k) => {
      const entry = button(this.group, name, () => this.keep(k === this.kept ? -1 : k), {
        style: `--vw-swatch: var(--vw-class-${k % 10})`, title: `Bring out the class ${name}`, "aria-pressed": "false",
      });
      entry.insertAdjacentHTML("afterbegin",
        `<svg viewBox="-1.4 -1.4 2.8 2.8" aria-hidden="true"><path d="${CLASS_MARKS[k % CLASS_MARKS.length]}"/></svg>`);
      entry.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") this.pass(k); });
      entry.addEventListener("pointerleave", () => this.pass(-1));
      return entry;
    });
    this.group.addEventListener("keydown", (event) => this.key(event));
  }

  get out() { return this.passing >= 0 ? this.passing : this.kept; }

  pass(k) {
    if (k === this.passing) return;
    this.passing = k;
    this.show();
  }

  keep(k) {
    this.kept = k;
    this.passing = -1;
    this.buttons.forEach((entry, i) => entry.setAttribute("aria-pressed", String(i === k)));
    this.show();
    const more = k < 0 ? "" : this.describe(k);
    this.say(k < 0 ? "All classes alike" : `Class ${this.classes[k]} brought out, the others faded${more && `; ${more}`}`);
  }

  show() {
    this.group.toggleAttribute("data-out", this.out >= 0);
    this.buttons.forEach((entry, i) => entry.toggleAttribute("data-out", i === this.out));
    this.onOut(this.out);
  }

  key(event) {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (by) {
      const count = this.buttons.length;
      const to = (this.buttons.indexOf(event.target.closest("button")) + by + count) % count;
      this.buttons[to].focus();
      if (this.kept >= 0) this.keep(to);
    } else if (event.key === "Escape" && this.kept >= 0) this.keep(-1);
    else return;
    event.preventDefault();
  }
}
