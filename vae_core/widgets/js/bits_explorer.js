// Bits explorer: the two-part code of a digit, for the encoder's Q and for a spoilt one.

const BITS = 1 / Math.LN2, BITS_DRAWS = 6; // pictures of draws of Q
const bitsSoftplus = (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));

// A round number of bits that holds `most`, with four equal steps on the axis.
function bitsScale(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10].map((k) => k * power).find((top) => top >= most);
}

class BitsLedger {
  constructor(decoder, digits, { mean, log_sigma, noise, shape }) {
    Object.assign(this, { decoder, digits, mean, logSigma: log_sigma, noise, pixels: shape[0] * shape[1] });
  }

  digit(k) { return this.digits.subarray(k * this.pixels, (k + 1) * this.pixels); }

  spoil(k, shift, scale) {
    const sigma = this.logSigma[k].map(Math.exp);
    return {
      mean: this.mean[k].map((m, i) => m + shift * sigma[i]),
      logSigma: this.logSigma[k].map((l) => l + Math.log(scale)),
    };
  }

  // Bits of z by dimension, of z, of X given z, and in all: as vae_core.coding.account.
  account(k, shift, scale) {
    const q = this.spoil(k, shift, scale), x = this.digit(k);
    const dimensions = q.mean.map((m, i) => BITS * (0.5 * (Math.expm1(2 * q.logSigma[i]) + m * m) - q.logSigma[i]));
    const z = dimensions.reduce((a, b) => a + b, 0);
    let nats = 0;
    for (const draw of this.noise) {
      const at = q.mean.map((m, i) => m + Math.exp(q.logSigma[i]) * draw[i]);
      const output = this.decoder.mlp.forward(at);
      for (let i = 0; i < x.length; i++) nats += bitsSoftplus(output[i]) - (x[i] ? output[i] : 0);
    }
    const pixels = (BITS * nats) / this.noise.length;
    return { dimensions, z, x: pixels, total: z + pixels };
  }

  // Pictures decoded from the first draws of Q, at the noise that the accounts begin with.
  drawn(k, shift, scale) {
    const q = this.spoil(k, shift, scale);
    return this.noise.slice(0, BITS_DRAWS).map((draw) =>
      this.decoder.mean(q.mean.map((m, i) => m + Math.exp(q.logSigma[i]) * draw[i])).slice());
  }
}

class BitsPage {
  constructor(root, model, ledger, spec, undo) {
    Object.assign(this, { ledger, spec });
    this.values = { digit: model.get("digit"), shift: model.get("shift"), scale: model.get("scale") };
    const bar = node("div", { className: "vw-bar" }, root);
    this.choice = choice(bar, "Digit", spec.names.map((name, k) => [k, name]), this.values.digit, (k) => this.set({ digit: k }));
    this.choice.style.flexWrap = "wrap";
    const grid = node("div", { className: "vw-bits" }, root);
    const pairs = node("div", { className: "vw-bits-pair" }, grid);
    this.shown = digitFigure(pairs, "X", spec.shape);
    const draws = node("div", { className: "vw-bits-draws", role: "group", "aria-label": "Draws of z from Q, decoded" }, pairs);
    this.draws = ledger.noise.slice(0, BITS_DRAWS).map(() => digitFigure(draws, "", spec.shape));
    this.draws.forEach(({ caption }) => caption.remove());
    node("p", { className: "vw-bits-draws-name", textContent: "draws of z from Q, decoded" }, draws);
    this.verdict = node("p", { className: "vw-note vw-bits-verdict" }, pairs);
    const side = node("div", {}, grid);
    const { shift, scale } = spec.ranges;
    this.shift = labelled(side, "Shift of Q, in σ", { min: shift[0], max: shift[1], step: 0.05, value: this.values.shift }, (v) => this.set({ shift: v }));
    // The slider runs over powers of two, so that halving and doubling lie equally far.
    this.scale = labelled(side, "σ of Q, times", {
      min: Math.log2(scale[0]), max: Math.log2(scale[1]), step: 0.05, value: Math.log2(this.values.scale), format: (v) => fixed(2 ** v, 2),
    }, (v) => this.set({ scale: 2 ** v }));
    const tools = node("div", { className: "vw-bar" }, side);
    button(tools, "Back to the encoder's Q", () => this.set({ shift: 0, scale: 1 }));
    const keys = node("p", { className: "vw-bits-keys" }, side);
    for (const [name, color] of [["z: KL", 0], ["X given z", 1], ["the fine", 3]]) {
      node("span", { textContent: name, style: `--vw-swatch: var(--vw-class-${color})` }, keys);
    }
    this.rows = [["encoder", "The encoder's Q"], ["yours", "Your Q"]].map(([key, name]) => {
      const row = node("div", { className: "vw-bits-row" }, side), head = node("div", { className: "vw-bits-head" }, row);
      node("span", { textContent: name }, head);
      const sum = node("b", {}, head), strip = node("div", { className: "vw-bits-bar", role: "img" }, row);
      return { key, name, sum, strip, parts: ["z", "x", "fine"].map((part) => node("i", { className: `vw-bits-${part}` }, strip)) };
    });
    this.axis = node("div", { className: "vw-bits-axis", "aria-hidden": "true" }, side);
    this.read = readout(side, [["z", "z", "D[Q || P(z)]"], ["x", "X given z", "−E[log P(X|z)]"],
      ["total", "in all", "−ELBO"], ["rate", "a pixel", "of the 784"], ["fine", "fine", "more than with the encoder's Q"]]);
    this.latentName = node("p", { className: "vw-bits-latents-name" }, side);
    this.latents = node("div", { className: "vw-bits-latents", role: "img" }, side);
    this.columns = ledger.mean[0].map(() => node("i", {}, this.latents));
    this.say = announcer(root);
    this.traits = traits(model, Object.keys(this.values), (name, value) => this.set({ [name]: value }, false));
    undo.push(() => this.traits.close());
    undo.push(followTheme(root, (theme) => { this.theme = theme; this.refresh(); }));
  }

  set(values, tell = true) {
    Object.assign(this.values, values);
    if (tell) this.traits.push(values);
    if ("digit" in values) [...this.choice.children].forEach((b, k) => b.setOn(k === this.values.digit));
    this.shift.show(this.values.shift);
    this.scale.show(Math.log2(this.values.scale));
    this.refresh();
    if (tell) this.say(`${fixed(this.now.yours.total, 1)} bits in all, fine ${fixed(this.fine, 1)} bits`);
  }

  // What the change of Q did to each part of the message.
  words() {
    const { encoder, yours } = this.now;
    if (this.values.shift === 0 && this.values.scale === 1) return "This is the encoder's own Q. Move or widen it, and see who pays.";
    const change = (bits) => `${fixed(Math.abs(bits), 1)} bits ${bits < 0 ? "less" : "more"}`;
    return `Beside the encoder's Q, z takes ${change(yours.z - encoder.z)}, and X given z ${change(yours.x - encoder.x)}.`;
  }

  get fine() { return this.now.yours.total - this.now.encoder.total; }

  refresh() {
    const { digit, shift, scale } = this.values, { ledger, theme } = this;
    if (!theme) return;
    this.now = { encoder: ledger.account(digit, 0, 1), yours: ledger.account(digit, shift, scale) };
    const { encoder, yours } = this.now, name = this.spec.names[digit];
    this.shown.show(ledger.digit(digit), theme, `Digit ${name}, black and white`);
    ledger.drawn(digit, shift, scale).forEach((pixels, i) => {
      this.draws[i].show(pixels, theme, `Decoded from draw ${i + 1} of Q for the digit ${name}`);
    });
    const top = bitsScale(1.02 * Math.max(encoder.total, yours.total));
    for (const { key, name: whose, sum, strip, parts } of this.rows) {
      const { z, x, total } = this.now[key], fine = key === "yours" ? Math.max(0, this.fine) : 0;
      // The fine lies over the end of the bar: what is beyond the encoder's total.
      [z, x, fine].forEach((bits, k) => { parts[k].style.width = `${(100 * bits) / top}%`; });
      parts[2].style.left = `${(100 * (total - fine)) / top}%`;
      sum.textContent = `${fixed(total, 1)} bits`;
      strip.setAttribute("aria-label", `${whose}: z ${fixed(z, 1)} bits, X given z ${fixed(x, 1)} bits, in all ${fixed(total, 1)} bits`);
    }
    this.axis.replaceChildren();
    for (let k = 0; k <= 4; k++) {
      const text = String(Number(((top * k) / 4).toPrecision(6)));
      node("span", { textContent: k === 4 ? `${text} bits` : text, style: `left: ${25 * k}%` }, this.axis);
    }
    this.read.set({
      z: fixed(yours.z, 1), x: fixed(yours.x, 1), total: fixed(yours.total, 1),
      rate: fixed(yours.total / ledger.pixels, 3), fine: fixed(this.fine, 1),
    });
    this.verdict.textContent = this.words();
    const most = Math.max(...yours.dimensions);
    this.columns.forEach((column, i) => { column.style.height = `${(100 * yours.dimensions[i]) / most}%`; });
    this.latentName.textContent = `Bits of z by latent dimension; the highest is ${fixed(most, 1)} bits`;
    this.latents.setAttribute("aria-label", `Bits by dimension: ${yours.dimensions.map((v) => fixed(v, 1)).join(", ")}`);
  }
}

function render({ model, el }) {
  const spec = model.get("payload");
  return frame(model, el, "Bits explorer", async (root, undo) => {
    const decoder = new Decoder(await loadBlob(model, spec.decoder.sha), spec.decoder);
    const digits = new Uint8Array(await loadBlob(model, spec.digits));
    const page = new BitsPage(root, model, new BitsLedger(decoder, digits, spec), spec, undo);
    // For tests and the curious: what the page computes, callable from the console.
    root.parentElement.__vae = {
      page,
      account: (k, shift, scale) => page.ledger.account(k, shift, scale),
      drawn: (k, shift, scale) => page.ledger.drawn(k, shift, scale).map((pixels) => Array.from(pixels)),
      state: () => ({ ...page.values, ...page.now, fine: page.fine }),
    };
  });
}

export default { render };
