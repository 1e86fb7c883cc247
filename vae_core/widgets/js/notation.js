// The plain notation of derivations, read as vae_core/symbolic/_parse.py reads it, and set as MathML.
// Nothing typed becomes HTML: elements are made one by one, and texts are texts.

const NOTATION_TOKEN = /\s*(?:(?<number>\d+(?:\.\d+)?)|(?<name>\p{L}+(?:_[\p{L}\p{N}]+)?)|(?<sign>\|\||\*\*|[-+*/^()[\],;|~‖∥∣−·×]))/uy;
const NOTATION_SPELLINGS = {
  "‖": "||", "∥": "||", "∣": "|", "−": "-", "·": "*", "×": "*", "**": "^",
  σ: "sigma", μ: "mu", ε: "epsilon", π: "pi", λ: "lambda",
};
const NOTATION_LETTERS = {
  alpha: "α", beta: "β", gamma: "γ", delta: "δ", epsilon: "ε", theta: "θ", lambda: "λ", mu: "μ", phi: "φ",
  pi: "π", rho: "ρ", sigma: "σ", tau: "τ", Sigma: "Σ",
};
const NOTATION_LONGEST = 600, NOTATION_DEEPEST = 25, NOTATION_HIGHEST = 6;

// What can't be read: a sentence, and the place in the text.
class NotationFault extends Error {
  constructor(message, from, to) {
    super(message);
    Object.assign(this, { from, to: Math.max(to, from + 1) });
  }
}

const spelledPlainly = (text) => text.replace(/\*\*|[‖∥∣−·×σμεπλ]/gu, (sign) => NOTATION_SPELLINGS[sign]);
const quotedSign = (text) => (text.includes("'") ? `"${text}"` : `'${text}'`);

function notationTokens(text) {
  const tokens = [], end = text.trimEnd().length;
  for (let at = 0; at < end;) {
    NOTATION_TOKEN.lastIndex = at;
    const match = NOTATION_TOKEN.exec(text);
    if (!match) {
      const from = at + text.slice(at).search(/\S/u), sign = String.fromCodePoint(text.codePointAt(from));
      throw new NotationFault(`the sign ${quotedSign(sign)} is not part of the notation`, from, from + sign.length);
    }
    const [kind, found] = Object.entries(match.groups).find(([, value]) => value !== undefined);
    at = NOTATION_TOKEN.lastIndex;
    tokens.push({ kind, text: spelledPlainly(found), from: at - found.length, to: at });
  }
  tokens.push({ kind: "end", text: "the end of the line", from: end, to: end + 1 });
  return tokens;
}

// Recursive descent, a method for each rule; trees are arrays [kind, ...parts].
class NotationReader {
  constructor(text, names) {
    if (!text.trim()) throw new NotationFault("the line is empty", 0, text.length);
    const length = spelledPlainly(text).length;
    if (length > NOTATION_LONGEST) throw new NotationFault(`the line has ${length} letters, more than ${NOTATION_LONGEST}`, 0, text.length);
    Object.assign(this, { tokens: notationTokens(text), at: 0, depth: 0, names: new Set(["X", "Y", "z", "pi", ...names]) });
  }

  get now() { return this.tokens[this.at]; }
  fail(message, token = this.now) { throw new NotationFault(message, token.from, token.to); }
  take(...texts) {
    return this.now.kind === "sign" && texts.includes(this.now.text) ? this.tokens[this.at++].text : null;
  }
  expect(...texts) {
    const found = this.take(...texts);
    if (!found) this.fail(`${texts.map(quotedSign).join(" or ")} was expected before ${quotedSign(this.now.text)}`);
    return found;
  }

  whole() {
    const tree = this.sum(), { kind, text } = this.now;
    if (kind === "end") return tree;
    if (kind !== "sign" || "([".includes(text)) this.fail(`an operator is missing before ${quotedSign(text)}: write *`);
    return this.fail(`${quotedSign(text)} has nothing to close or to separate`);
  }

  sum() {
    if (++this.depth > NOTATION_DEEPEST) this.fail(`more than ${NOTATION_DEEPEST} levels of brackets`);
    let tree = this.product();
    for (let sign = this.take("+", "-"); sign; sign = this.take("+", "-")) tree = ["sum", sign, tree, this.product()];
    this.depth--;
    return tree;
  }

  product() {
    let tree = this.signed();
    for (let sign = this.take("*", "/"); sign; sign = this.take("*", "/")) tree = [sign === "*" ? "times" : "over", tree, this.signed()];
    return tree;
  }

  signed() {
    let negative = false;
    for (let sign = this.take("+", "-"); sign; sign = this.take("+", "-")) negative = negative !== (sign === "-");
    const tree = this.power();
    return negative ? ["minus", tree] : tree;
  }

  power() {
    const base = this.atom();
    if (!this.take("^")) return base;
    const negative = this.take("-"), token = this.now, exponent = this.atom();
    if (exponent[0] === "number" && Number(exponent[1]) > NOTATION_HIGHEST) this.fail(`a power above ${NOTATION_HIGHEST} is not read`, token);
    if (this.now.text === "^") this.fail("a power of a power needs brackets");
    return ["power", base, negative ? ["minus", exponent] : exponent];
  }

  atom() {
    const token = this.now;
    if (token.kind === "number") { this.at++; return ["number", token.text]; }
    if (this.take("(")) {
      const inside = this.sum();
      this.expect(")");
      return ["brackets", inside];
    }
    if (token.kind !== "name") this.fail(`a formula was expected before ${quotedSign(token.text)}`);
    this.at++;
    const name = token.text, opens = this.now.text;
    if (name === "log") return ["log", opens === "(" ? this.atom() : this.power()];
    if (name === "exp" || name === "sqrt") return [name, this.inBrackets(["("], () => this.sum())];
    if ((name === "KL" || name === "D") && "([".includes(opens)) return this.divergence();
    if (name === "E" || name.startsWith("E_")) return this.mean(name.slice(2), token);
    if (name === "int") {
      const [inside, variable] = this.inBrackets(["(", "["], () => {
        const f = this.sum();
        this.expect(",");
        return [f, this.variables()];
      });
      return ["int", inside, variable];
    }
    if (name === "N" && opens === "(") return this.gaussian();
    if (opens === "(" && /^\p{Lu}$/u.test(name)) return this.density(name);
    if (opens === "(") this.fail(`${quotedSign(name)} is not a function of the notation (log, exp, sqrt, E, KL, int, N are)`, token);
    return this.symbol(token);
  }

  inBrackets(kinds, read) {
    const closing = { "(": ")", "[": "]" }[this.expect(...kinds)], inside = read();
    this.expect(closing);
    return inside;
  }

  symbol(token) {
    if (!this.names.has(token.text)) {
      // In the order of Python's: by code point.
      this.fail(`the name ${quotedSign(token.text)} is not known; known are ${[...this.names].sort().join(", ")}`, token);
    }
    return ["name", token.text];
  }

  variables() {
    const found = [];
    do {
      if (this.now.kind !== "name") this.fail(`a variable was expected before ${quotedSign(this.now.text)}`);
      found.push(this.symbol(this.tokens[this.at++]));
    } while (this.take(","));
    return found;
  }

  density(name) {
    const opening = this.now;
    const [before, behind] = this.inBrackets(["("], () => [this.variables(), this.take("|") ? this.variables() : []]);
    const twice = behind.some(([, text]) => before.some(([, other]) => other === text));
    if (twice) this.fail(`a symbol stands on both sides of the bar of ${name}`, opening);
    return ["density", name, before, behind];
  }

  gaussian() {
    return ["normal", ...this.inBrackets(["("], () => {
      const z = this.sum();
      this.expect(";", ",");
      const mean = this.sum();
      this.expect(",");
      return [z, mean, this.sum()];
    })];
  }

  distribution() {
    const token = this.now, found = this.atom();
    if (!["density", "normal"].includes(found[0])) this.fail("a divergence stands between two densities, as KL(Q(z|X) || P(z))", token);
    return found;
  }

  divergence() {
    return ["KL", ...this.inBrackets(["(", "["], () => {
      const first = this.distribution();
      this.expect("||", ",");
      return [first, this.distribution()];
    })];
  }

  mean(over, token) {
    if (!["", "Q", "P"].includes(over)) this.fail(`an expectation is E[...], E_Q[...] or E_P[...], not E_${over}`, token);
    return ["mean", over, this.inBrackets(["[", "("], () => this.sum())];
  }
}

// A line: relation, formula, what an inequality leaves away, and the reason; or a fault with its place.
function readLine(text, names) {
  const hash = text.indexOf("#"), body = hash < 0 ? text : text.slice(0, hash);
  const reason = hash < 0 ? "" : text.slice(hash + 1).trim();
  const opening = /^\s*(>=|<=|≥|≤|=)?/u.exec(body);
  const relation = { "≥": ">=", "≤": "<=", ">=": ">=", "<=": "<=" }[opening[1]] ?? "=";
  const start = opening[0].length, split = /\bgap\b/u.exec(body.slice(start));
  const part = (from, to) => {
    const inside = body.slice(from, to);
    try {
      return new NotationReader(inside, names).whole();
    } catch (fault) {
      if (fault instanceof NotationFault) { fault.from += from; fault.to += from; }
      throw fault;
    }
  };
  const end = split ? start + split.index : body.length;
  if (relation === "=" && split) throw new NotationFault("an equation has no gap; begin the line with >= or <=", end, end + 3);
  if (relation !== "=" && !split) {
    throw new NotationFault("an inequality names what it leaves away, as in “>= ... gap KL(Q(z|X) || P(z|X))”", 0, start);
  }
  const formula = part(start, end);
  return { relation, formula, gap: split ? part(end + 3, body.length) : null, reason };
}

// ---------------------------------------------------------------- MathML

function mathNode(tag, children = [], attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/1998/Math/MathML", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...[children].flat());
  return element;
}

const mathRow = (...children) => mathNode("mrow", children);
const mathSign = (text, attributes) => mathNode("mo", text, attributes);
const mathFenced = (open, inside, close) => mathRow(mathSign(open), ...[inside].flat(), mathSign(close));
const mathList = (open, inside, close) => mathRow(mathSign(open, { stretchy: "false" }), ...inside, mathSign(close, { stretchy: "false" }));

function mathName(name) {
  const [base, ...rest] = name.split("_"), letter = NOTATION_LETTERS[base] ?? base;
  const symbol = mathNode("mi", letter);
  return rest.length ? mathNode("msub", [symbol, mathNode("mi", NOTATION_LETTERS[rest[0]] ?? rest.join("_"))]) : symbol;
}

// A formula; `over` is what a mean runs over, such as "Q".
function mathOf(tree, over = "Q") {
  const inner = (part) => mathOf(part, over);
  const bare = (part) => inner(part[0] === "brackets" ? part[1] : part);
  const [kind, ...parts] = tree;
  const list = (symbols) => symbols.flatMap(([, name], index) => (index ? [mathSign(","), mathName(name)] : [mathName(name)]));
  switch (kind) {
    case "number": return mathNode("mn", parts[0]);
    case "name": return mathName(parts[0]);
    case "brackets": return mathFenced("(", inner(parts[0]), ")");
    case "sum": return mathRow(inner(parts[1]), mathSign(parts[0] === "-" ? "−" : "+"), inner(parts[2]));
    case "times": {
      const digits = parts[1][0] === "number" || (parts[1][0] === "power" && parts[1][1][0] === "number");
      return mathRow(inner(parts[0]), mathSign(digits ? "·" : "\u2062"), inner(parts[1]));
    }
    case "over": return mathNode("mfrac", [bare(parts[0]), bare(parts[1])]);
    case "minus": return mathRow(mathSign("−", { form: "prefix" }), inner(parts[0]));
    case "power": return mathNode("msup", [inner(parts[0]), bare(parts[1])]);
    case "sqrt": return mathNode("msqrt", bare(parts[0]));
    case "exp": return mathRow(mathNode("mi", "exp"), mathSign("\u2061"), mathFenced("(", bare(parts[0]), ")"));
    case "log": return mathRow(mathNode("mi", "log"), mathSign("\u2061"), mathNode("mspace", [], { width: "0.17em" }), inner(parts[0]));
    case "density": {
      const [name, before, behind] = parts;
      const bar = behind.length ? [mathSign("|", { stretchy: "false" }), ...list(behind)] : [];
      return mathRow(mathNode("mi", name), mathSign("\u2061"), mathList("(", [...list(before), ...bar], ")"));
    }
    case "normal": return mathRow(mathNode("mi", "𝒩"), mathFenced("(", [inner(parts[0]), mathSign(";"), inner(parts[1]), mathSign(","), inner(parts[2])], ")"));
    case "KL": return mathRow(mathNode("mi", "𝒟"), mathFenced("[", [inner(parts[0]), mathSign("‖", { stretchy: "false" }), inner(parts[1])], "]"));
    case "mean": {
      const name = parts[0] || over;
      const under = name ? mathRow(mathNode("mi", "z"), mathSign("∼"), mathNode("mi", name)) : mathNode("mi", "z");
      return mathRow(mathNode("msub", [mathNode("mi", "E", { mathvariant: "normal" }), under]), mathFenced("[", bare(parts[1]), "]"));
    }
    case "int": return mathRow(mathSign("∫"), inner(parts[0]), mathNode("mspace", [], { width: "0.17em" }), mathNode("mi", "d"), ...list(parts[1]));
    default: throw new Error(`no way to set ${kind}`);
  }
}

// A whole line as one <math> element.
function mathLine({ relation, formula, gap }, over) {
  const sign = { "=": "=", ">=": "≥", "<=": "≤" }[relation];
  const more = gap ? [mathNode("mtext", "\u2003gap\u2002"), mathOf(gap, over)] : [];
  return mathNode("math", [...(sign ? [mathSign(sign)] : []), mathOf(formula, over), ...more], { displaystyle: "true" });
}
