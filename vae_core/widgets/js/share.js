// A widget's state as a link and as Python: what _share.py says in Python, and the foot's buttons.

// ---------------------------------------------------------------- values as text

// Six digits are more than any page shows, and spare links and code the tail of 0.30000000000000004.
function shareTidy(v) {
  if (Number.isInteger(v)) return v === 0 ? 0 : v;
  return Math.abs(v) < 1e-6 ? 0 : Number(v.toPrecision(6));
}

// As Python writes it.
function shareLiteral(v) {
  if (Array.isArray(v)) return `[${v.map(shareLiteral).join(", ")}]`;
  if (typeof v === "boolean") return v ? "True" : "False";
  return typeof v === "number" ? String(shareTidy(v)) : JSON.stringify(v);
}

// The template's lines: "@name=value " and "@name!=value " before a line say when it is wanted.
function sharePython(template, value) {
  const lines = template.split("\n").flatMap((line) => {
    for (let test; (test = /^@(\w+)(!?)=(\S+) /.exec(line)); line = line.slice(test[0].length)) {
      if ((shareLiteral(value(test[1])) === test[3]) === (test[2] === "!")) return [];
    }
    return [line.replace(/\{\{(\w+)\}\}/g, (_, name) => shareLiteral(value(name)))];
  });
  return `${lines.join("\n").replace(/\n{3,}/g, "\n\n")}\n`;
}

// Lists are written flat, and a number that repeats once: 0*3,7 is 0,0,0,7.
function shareText(v) {
  if (!Array.isArray(v)) return typeof v === "number" ? String(shareTidy(v)) : encodeURIComponent(v);
  const runs = [];
  for (const text of v.flat(Infinity).map(shareText)) {
    if (runs.at(-1)?.[0] === text) runs.at(-1)[1] += 1;
    else runs.push([text, 1]);
  }
  return runs.map(([text, n]) => (n > 3 ? `${text}*${n}` : Array(n).fill(text).join())).join();
}

// What a text means for a trait that is now `like`, within its rule; undefined where it means nothing.
function shareValue(text, like, rule) {
  if (Array.isArray(like)) {
    const flat = [], size = like.flat(Infinity).length;
    for (const part of text.split(",")) {
      const [, one, n = 1] = /^([^*]*)(?:\*(\d{1,5}))?$/.exec(part) ?? [];
      if (one === undefined || flat.length + Number(n) > size) return undefined;
      const value = shareValue(one, 0, rule);
      for (let k = 0; k < n; k++) flat.push(value);
    }
    const fold = (shape) => (Array.isArray(shape) ? shape.map(fold) : flat.shift());
    return flat.length < size || flat.includes(undefined) ? undefined : fold(like);
  }
  let value = text;
  if (typeof like === "number") value = /^-?\d{1,16}(\.\d{1,20})?$/.test(text) ? Number(text) : NaN;
  if (typeof like === "boolean") value = { true: true, false: false }[text];
  if (rule.among) return rule.among.find((each) => each === value || (typeof value === "number" && shareTidy(each) === shareTidy(value)));
  // A limit that was rounded for the link may lie a little beyond itself.
  const { low, high, whole } = rule, spare = whole ? 0 : 1e-5 * (high - low);
  if (!(value >= low - spare && value <= high + spare) || (whole && !Number.isInteger(value))) return undefined;
  return Math.min(high, Math.max(low, value));
}

// ---------------------------------------------------------------- the address

const SHARE_LONGEST = 20000; // characters of an address that are looked at
const SHARE_WAIT = 400; // ms of rest before the address follows

// The state of one static widget in the page's address: "#heading&kl_explorer=mu:1.2;sigma:0.5".
class ShareLink {
  constructor(name, model, { ranges }) {
    Object.assign(this, { name, model, ranges });
    this.start = Object.fromEntries(Object.keys(ranges).map((trait) => [trait, model.get(trait)]));
    for (const trait of Object.keys(ranges)) model.on(`change:${trait}`, () => this.follow());
  }

  get parts() { return location.hash.length > SHARE_LONGEST ? [] : location.hash.slice(1).split("&"); }
  get named() { return this.parts.some((part) => part.startsWith(`${this.name}=`)); }

  // What the address says of this widget, and nothing that it could not be.
  read() {
    const found = {}, own = this.parts.find((part) => part.startsWith(`${this.name}=`));
    for (const pair of own?.slice(this.name.length + 1).split(";") ?? []) {
      const at = pair.indexOf(":"), trait = pair.slice(0, at);
      if (at < 0 || !Object.hasOwn(this.ranges, trait)) continue;
      let value;
      try { value = shareValue(decodeURIComponent(pair.slice(at + 1)), this.start[trait], this.ranges[trait]); } catch { /* no text */ }
      if (value !== undefined) found[trait] = value;
    }
    return found;
  }

  // Sets the model to what the address says; tells whether anything changed.
  restore() {
    const before = this.text();
    for (const [trait, value] of Object.entries({ ...this.start, ...this.read() })) this.model.set(trait, value);
    clearTimeout(this.timer); // the address is what was just read
    return this.text() !== before;
  }

  // Whatever differs from how the page was made; the names are the book's own, the values numbers or encoded.
  text() {
    return Object.keys(this.ranges).flatMap((trait) => {
      const text = shareText(this.model.get(trait));
      return text === shareText(this.start[trait]) ? [] : [`${trait}:${text}`];
    }).join(";");
  }

  get here() { return location.href.split("#")[0]; }
  get address() { return `${this.here}#${this.name}=${this.text()}`; }

  follow() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.write(), SHARE_WAIT);
  }

  // In place of the present entry of the history; what else the address says stays.
  write() {
    const text = this.text(), before = location.hash.slice(1).split("&");
    const parts = before.filter((part) => part && !part.startsWith(`${this.name}=`));
    if (text) parts.push(`${this.name}=${text}`);
    if (parts.join("&") === location.hash.slice(1)) return;
    const address = this.here + (parts.length ? `#${parts.join("&")}` : "");
    try { history.replaceState(history.state, "", address); } catch { /* a page without an address of its own */ }
  }

  // A browser goes to a heading by itself only where the address says nothing else.
  goTo(el) {
    const [first = ""] = this.parts;
    if (first.startsWith(`${this.name}=`)) el.scrollIntoView({ block: "nearest" });
    else if (first && !first.includes("=")) {
      try { document.getElementById(decodeURIComponent(first))?.scrollIntoView(); } catch { /* no text */ }
    }
  }
}

// In a notebook or in a frame of Colab's the address is not that of a page to come back to.
const shareable = (el) => !el.closest(".jp-OutputArea") && !globalThis.google?.colab && location.protocol !== "blob:" && location.protocol !== "about:";

// ---------------------------------------------------------------- the foot

function shareFoot(root, model) {
  const share = model.get("share"), { link } = model;
  if (!share?.python && !link) return;
  const foot = node("div", { className: "vw-foot", role: "group", "aria-label": "Share" }, root);
  let field = null, timer = 0, opener = null;
  const close = () => { field?.remove(); field = null; };
  const tell = (text, wait) => {
    said.textContent = text;
    clearTimeout(timer);
    if (wait) timer = setTimeout(() => { said.textContent = ""; }, wait);
  };
  const copy = async (event, name, text) => {
    close();
    opener = event.currentTarget;
    try {
      await navigator.clipboard.writeText(text);
      tell(`${name} copied`, 4000);
    } catch {
      const lines = text.trimEnd().split("\n").length;
      field = node("textarea", { className: "vw-copy", readOnly: true, spellcheck: false, rows: Math.min(12, lines), "aria-label": name, value: text }, foot);
      field.addEventListener("keydown", ({ key }) => { if (key === "Escape") { close(); tell(""); opener.focus(); } });
      field.focus();
      field.select();
      tell("The browser refused to copy: the text is selected here.");
    }
  };
  if (link) button(foot, "Copy link", (event) => copy(event, "Link", link.address), { title: "This page with the widget as it stands" });
  if (share?.python) {
    const text = () => sharePython(share.python, (name) => model.get(name));
    button(foot, "Copy as Python", (event) => copy(event, "Python", text()), { title: "Lines that compute the numbers seen" });
  }
  const said = node("span", { role: "status" }, foot);
}
