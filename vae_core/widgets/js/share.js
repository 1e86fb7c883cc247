// A widget's state as a link and as Python: what _share.py says in Python, and the foot's buttons.

// ---------------------------------------------------------------- values as text

// Six digits are more than any page shows, and spare links and code the tail of 0.30000000000000004.
const tidy = (v) => (Math.abs(v) < 1e-6 ? 0 : Number.isInteger(v) ? v : Number(v.toPrecision(6)));

function pythonLiteral(v) {
  if (Array.isArray(v) && v.some((each) => typeof each === "string")) return `[\n${v.map((each) => `    ${pythonLiteral(each)},\n`).join("")}]`;
  if (Array.isArray(v)) return `[${v.map(pythonLiteral).join(", ")}]`;
  if (typeof v === "object") {
    const entries = Object.entries(v).map(([key, value]) => `${JSON.stringify(key)}: ${pythonLiteral(value)}`);
    return entries.length > 4 ? `{\n${entries.map((entry) => `    ${entry},\n`).join("")}}` : `{${entries.join(", ")}}`;
  }
  if (typeof v === "boolean") return v ? "True" : "False";
  return typeof v === "number" ? `${tidy(v)}` : JSON.stringify(v);
}

// The template's lines: "@name=value " and "@name!=value " before a line say when it is wanted.
function pythonLines(template, get) {
  const lines = template.split("\n").flatMap((line) => {
    for (let test; (test = /^@(\w+)(!?)=(\S+) /.exec(line)); line = line.slice(test[0].length)) {
      if ((pythonLiteral(get(test[1])) === test[3]) === (test[2] === "!")) return [];
    }
    return line.replace(/\{\{(\w+)\}\}/g, (_, name) => pythonLiteral(get(name)));
  });
  return `${lines.join("\n").replace(/\n{3,}/g, "\n\n")}\n`;
}

// Lists are written flat, and a number that repeats once: 0*4,7 is 0,0,0,0,7. Under a rule of its own
// a list is 1+2+3, a mapping beta=4,seed=2, and a list of mappings beta=4/seed=2 ("same" is an empty one).
function linkText(v, rule = {}) {
  if (rule.each) return v.flat().map((part) => linkText(part, rule.each)).join(rule.each.fields ? "/" : "+");
  if (rule.fields) {
    const known = Object.entries(v).filter(([key]) => Object.hasOwn(rule.fields, key));
    return known.map(([key, value]) => `${key}=${linkText(value, rule.fields[key])}`).join() || "same";
  }
  if (!Array.isArray(v)) return typeof v === "number" ? `${tidy(v)}` : encodeURIComponent(v);
  const runs = [];
  for (const text of v.flat().map(linkText)) {
    if (runs.at(-1)?.[0] === text) runs.at(-1).push(text);
    else runs.push([text]);
  }
  return `${runs.map((run) => (run.length > 3 ? `${run[0]}*${run.length}` : run))}`;
}

// What a text means for a trait that is now `like`, by its rule; undefined where it means nothing.
function linkValue(text, like, rule) {
  if (rule.either) return rule.either.map((one) => linkValue(text, like, one)).find((value) => value !== undefined);
  if (rule.fields) {
    const found = { ...like };
    for (const [key, value = ""] of text.split(",").map((part) => part.split("="))) {
      const meant = Object.hasOwn(rule.fields, key) ? linkValue(value, null, rule.fields[key]) : undefined;
      if (meant !== undefined) found[key] = meant;
    }
    return found;
  }
  if (rule.each) {
    const { each, most, size } = rule, parts = text ? text.split(each.fields ? "/" : "+") : [];
    if (parts.length > most * size || parts.length % size) return undefined;
    const values = parts.map((part) => linkValue(part, null, each));
    if (values.includes(undefined)) return undefined;
    return size === 1 ? values : Array.from({ length: values.length / size }, (_, i) => values.slice(i * size, (i + 1) * size));
  }
  if (Array.isArray(like)) {
    const flat = [], size = like.flat().length;
    for (const part of text.split(",")) {
      const [one, times = "1"] = part.split("*");
      if (!/^\d{1,4}$/.test(times) || flat.length + Number(times) > size) return undefined;
      flat.push(...Array(Number(times)).fill(linkValue(one, 0, rule)));
    }
    const fold = (shape) => (Array.isArray(shape) ? shape.map(fold) : flat.shift());
    return flat.length < size || flat.includes(undefined) ? undefined : fold(like);
  }
  if (rule.among) return rule.among.find((each) => linkText(each) === encodeURIComponent(text));
  const { low, high, whole } = rule, value = /^-?\d{1,16}(\.\d{1,20})?$/.test(text) ? Number(text) : NaN;
  // A limit that was rounded for the link may lie a little beyond itself.
  const spare = whole ? 0 : 1e-5 * (high - low);
  if (!(value >= low - spare && value <= high + spare) || (whole && !Number.isInteger(value))) return undefined;
  return Math.min(high, Math.max(low, value));
}

// ---------------------------------------------------------------- the address


const decoded = (text) => { try { return decodeURIComponent(text); } catch { return ""; } };

// The state of one static widget in the page's address: "#heading&kl_explorer=mu:1.2;sigma:0.5".
function shareLink(name, model, ranges, el) {
  const names = Object.keys(ranges), start = names.map(model.get), mine = (part) => part.startsWith(`${name}=`);
  // No link of ours is longer than this.
  const parts = () => (location.hash.length > 20000 ? "" : location.hash.slice(1)).split("&"), page = () => location.href.split("#")[0];
  let timer = 0;
  // Whatever differs from how the page was made.
  const text = () => names.flatMap((trait, k) => {
    const rule = ranges[trait], now = model.get(trait);
    if (linkText(now, rule) === linkText(start[k], rule)) return [];
    const other = ([key, value]) => linkText(value, rule.fields[key]) !== linkText(start[k][key], rule.fields[key]);
    const told = rule.fields ? Object.fromEntries(Object.entries(now).filter((each) => Object.hasOwn(rule.fields, each[0]) && other(each))) : now;
    return `${trait}:${linkText(told, rule)}`;
  }).join(";");
  // In place of the present entry of the history; what else the address says stays.
  const write = () => {
    const kept = location.hash.slice(1).split("&").filter((part) => part && !mine(part)), own = text();
    if (own) kept.push(`${name}=${own}`);
    const wanted = kept.join("&");
    if (wanted === location.hash.slice(1)) return;
    // A page without an address of its own refuses.
    try { history.replaceState(history.state, "", page() + (wanted && `#${wanted}`)); } catch {}
  };
  // After a rest: browsers refuse to be told every step.
  const follow = () => { clearTimeout(timer); timer = setTimeout(write, 400); };
  names.forEach((trait) => model.on(`change:${trait}`, follow));
  return {
    follow,
    address: () => `${page()}#${name}=${text()}`,
    named: () => parts().some(mine),
    // Sets the model to what the address says and to nothing that it may not; tells whether that changed anything.
    restore() {
      const before = text(), said = (parts().find(mine) ?? "").slice(name.length + 1).split(";").map((each) => each.split(":"));
      names.forEach((trait, k) => {
        const own = said.find(([key]) => key === trait);
        model.set(trait, (own && linkValue(decoded(own[1]), start[k], ranges[trait])) ?? start[k]);
      });
      clearTimeout(timer);
      return text() !== before;
    },
    // A browser goes to a heading by itself only where the address says nothing else.
    goTo() {
      const [first] = parts();
      if (mine(first)) el.scrollIntoView({ block: "nearest" });
      else document.getElementById(decoded(first))?.scrollIntoView();
    },
  };
}

// In a notebook or in a frame of Colab's the address is not that of a page to come back to.
const isPage = (el) => !el.closest(".jp-OutputArea") && !globalThis.google?.colab && /^(http|file)/.test(location.protocol);

// ---------------------------------------------------------------- the foot

function shareFoot(root, model) {
  const template = model.get("share")?.python, { link } = model;
  if (!template && !link) return;
  const foot = node("div", { className: "vw-foot" }, root);
  let field, timer;
  const copier = (name, text) => {
    const opener = button(foot, name, async () => {
      field?.remove();
      clearTimeout(timer);
      try {
        await navigator.clipboard.writeText(text());
        said.textContent = "Copied";
        timer = setTimeout(() => { said.textContent = ""; }, 4000);
      } catch {
        field = node("textarea", { readOnly: true, spellcheck: false, "aria-label": name, value: text() }, foot);
        field.rows = Math.min(12, field.value.split("\n").length);
        field.addEventListener("keydown", ({ key }) => { if (key === "Escape") { opener.focus(); field.remove(); said.textContent = ""; } });
        field.select();
        field.focus();
        said.textContent = "The browser refused to copy: the text is selected here.";
      }
    });
  };
  if (link) copier("Copy link", link.address);
  if (template) copier("Copy as Python", () => pythonLines(template, (name) => model.get(name)));
  const said = node("span", { role: "status" }, foot);
}
