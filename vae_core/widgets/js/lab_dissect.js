// One step of training, taken apart: from X to the two terms, and back to what each asks of mu and sigma.

const LAB_STAGES = [
  ["x", "X", "One held-out example goes in."],
  ["posterior", "μ, log σ", "The encoder gives the mean and the log standard deviation of Q(z|X)."],
  ["noise", "ε", "A draw from N(0, I), which no weight can change."],
  ["z", "z", "The draw of Q: z = μ + σ ε."],
  ["decoded", "X̂", "The decoder’s mean of P(X|z)."],
  ["reconstruction", "log P(X|z)", "How probable X is at this z."],
  ["kl", "KL", "What Q pays for differing from N(0, I)."],
  ["back", "gradient", "Backwards: where a step of descent would move μ and log σ, by the first term and by the KL."],
];

class LabDissect {
  constructor(parent, lab) {
    this.lab = lab;
    this.details = node("details", { className: "vw-lab-dissect" }, parent);
    node("summary", { textContent: "One step, dissected" }, this.details);
    const bar = node("div", { className: "vw-bar" }, this.details);
    this.playButton = button(bar, "Play slowly", () => this.play(), { className: "vw-play" });
    button(bar, "Back", () => this.go(this.stage - 1));
    button(bar, "Forward", () => this.go(this.stage + 1));
    button(bar, "Another ε", () => { this.eps += 1; this.ask(); });
    this.row = node("ol", { className: "vw-lab-flow" }, this.details);
    this.cards = LAB_STAGES.map(([key, name]) => {
      const card = node("li", { tabIndex: 0, className: "vw-lab-card" }, this.row);
      node("strong", { textContent: name }, card);
      card.picture = node("div", {}, card);
      for (const event of ["pointerenter", "focus"]) card.addEventListener(event, () => this.light(key));
      for (const event of ["pointerleave", "blur"]) card.addEventListener(event, () => this.light(null));
      return card;
    });
    this.note = node("p", { className: "vw-note vw-verdict", role: "status" }, this.details);
    this.formula = node("p", { className: "vw-lab-formula" }, this.details);
    this.code = node("pre", { className: "vw-lab-code", tabIndex: 0, "aria-label": "The step as code" }, this.details);
    this.stage = LAB_STAGES.length - 1;
    this.eps = 0;
    this.details.addEventListener("toggle", () => { if (this.details.open) this.ask(); else this.halt(); });
  }

  close() { this.halt(); }

  ask() { if (this.details.open) this.lab.host.send({ kind: "dissect", run: this.lab.edited, eps: this.eps }); }

  halt() { clearTimeout(this.timer); this.timer = 0; this.playButton.textContent = "Play slowly"; }

  play() {
    if (this.timer) { this.halt(); return; }
    this.playButton.textContent = "Stop";
    if (this.stage >= LAB_STAGES.length - 1) this.stage = -1;
    const next = () => {
      this.go(this.stage + 1, true);
      if (this.stage >= LAB_STAGES.length - 1) this.halt();
      else this.timer = setTimeout(next, 1600);
    };
    this.timer = setTimeout(next, 1);
  }

  go(stage, moving = false) {
    if (!moving) this.halt();
    this.stage = Math.min(LAB_STAGES.length - 1, Math.max(0, stage));
    this.show();
  }

  hear(found) { this.found = found; this.write(); this.show(); }

  // ------------------------------------------------------------ words

  // The formula's terms and the code's lines, each under the stage it belongs to.
  write() {
    const run = this.lab.runs[this.lab.edited], has = (fault) => run.faults.includes(fault), ae = run.model === "AE";
    const log = has("variance-as-sigma") ? "½ s" : "log σ", square = has("variance-as-sigma") ? "eˢ" : "σ²";
    const kl = has("printed-kl") ? `${square} + μ² − ${log} − ½` : `½(${square} + μ² − 1) − ${log}`;
    const beta = run.beta === 1 ? "" : `${run.beta} · `, mean = has("mean-over-pixels");
    const z = ae || has("no-noise") ? "z = μ" : has("variance-as-sigma") ? "z = μ + eˢ ε" : "z = μ + σ ε";
    const parts = [["z", z], [null, ",  loss = −"], ["reconstruction", mean ? "(1/n) log P(X|z)" : "log P(X|z)"]];
    if (!ae) parts.push([null, has("kl-sign") ? ` − ${beta}` : ` + ${beta}`], ["kl", `Σ [${kl}]`]);
    this.formula.replaceChildren(...parts.map(([key, text]) => this.part("span", key, text)));
    const output = has("variance-as-sigma") ? "log_variance" : "log_sigma", stop = has("stopped") || run.estimator === "stopped";
    const score = run.estimator.startsWith("score-function") && !stop;
    const variance = has("variance-as-sigma") ? "log_variance.exp()" : "(2 * log_sigma).exp()", half = has("variance-as-sigma") ? "0.5 * log_variance" : "log_sigma";
    const formula = has("printed-kl") ? `${variance} + mean**2 - ${half} - 0.5` : `0.5 * (${variance} + mean**2 - 1) - ${half}`;
    const bernoulli = run.likelihood === "bernoulli", raw = has("no-link");
    const lines = [
      ["x", "x = batch"],
      ["posterior", ae ? "mean = encoder(x)" : `mean, ${output} = encoder(x)`],
      ...(ae || has("no-noise") ? [] : [["noise", has("shared-noise") ? "eps = torch.randn(latents)                # one for the whole batch" : "eps = torch.randn_like(mean)"]]),
      ["z", ae || has("no-noise") ? "z = mean" : `z = mean + ${output}.exp() * eps`],
      ...(stop || score ? [["z", "z = z.detach()"]] : []),
      ["decoded", bernoulli && !raw || raw ? "output = decoder(z)" : this.lab.planar ? "output = decoder(z)" : "output = decoder(z).sigmoid()"],
      ["reconstruction", bernoulli
        ? (raw ? "log_p = (x * output.log() + (1 - x) * (1 - output).log())" : "log_p = -F.binary_cross_entropy_with_logits(output, x, reduction='none')")
        : "log_p = Normal(output, sigma).log_prob(x)"],
      ["reconstruction", `reconstruction = log_p.${mean ? "mean" : "sum"}(1)`],
      ...(score ? [["reconstruction", "reconstruction = reconstruction + reconstruction.detach() * Normal(mean, log_sigma.exp()).log_prob(z).sum(1)  # gradient only"]] : []),
      ...(ae ? [] : [["kl", `kl = (${formula}).sum(1)`]]),
      ["back", ae ? "loss = -reconstruction.mean()" : `loss = (${run.beta === 1 ? "" : `${run.beta} * `}${has("kl-sign") ? "-kl" : "kl"} - reconstruction).mean()`],
      ["back", "loss.backward()"],
    ];
    this.code.replaceChildren(...lines.map(([key, text]) => this.part("span", key, `${text}\n`)));
  }

  part(tag, key, text) {
    const part = node(tag, { textContent: text });
    if (key) part.dataset.part = key;
    return part;
  }

  light(key) {
    this.details.querySelectorAll("[data-part]").forEach((part) => part.toggleAttribute("data-lit", part.dataset.part === key));
    const stage = LAB_STAGES.find(([own]) => own === key);
    if (stage) this.note.textContent = this.words(key, stage[2]);
  }

  words(key, text) {
    const { found } = this, { run } = { run: this.lab.runs[this.lab.edited] };
    if (!found) return text;
    const list = (values) => values.map((v) => labNats(v)).join(", ");
    if (key === "posterior") return `${text} μ = (${list(found.mean)})${found.logSigma ? `, log σ = (${list(found.logSigma)})` : "; an autoencoder has no σ"}.`;
    if (key === "noise") return found.logSigma ? `${text} ε = (${list(found.eps)}).` : "An autoencoder draws nothing.";
    if (key === "z") return `${text} Here (${list(found.z)}).`;
    if (key === "reconstruction") return `${text} ${labNats(found.logP)} nats${run.faults.includes("mean-over-pixels") ? `, of which the loss takes ${labNats(found.reconstruction)}` : ""}.`;
    if (key === "kl") return found.logSigma ? `${text} ${labNats(found.kl)} nats as the program computes it.` : "An autoencoder pays nothing.";
    if (key === "back") return `${text} On μ: (${list(found.push.mean)}) by the first term${found.pull ? `, (${list(found.pull.mean)}) by the KL` : ""}.`;
    return text;
  }

  // ------------------------------------------------------------ pictures

  show() {
    const { found, stage, lab } = this;
    this.cards.forEach((card, i) => { card.toggleAttribute("data-on", i <= stage); card.toggleAttribute("data-now", i === stage); });
    const [key, , text] = LAB_STAGES[stage];
    this.light(key);
    this.note.textContent = this.words(key, text);
    if (!found) return;
    const list = (values) => values.slice(0, 2).map((v) => labNats(v)).join(", ") + (values.length > 2 ? ", …" : "");
    const text2 = (i, words) => { this.cards[i].picture.textContent = words; };
    this.picture(0, found.x);
    text2(1, `μ ${list(found.mean)}${found.logSigma ? `\nlog σ ${list(found.logSigma)}` : ""}`);
    text2(2, found.logSigma ? list(found.eps) : "none");
    text2(3, list(found.z));
    this.picture(4, found.output);
    text2(5, `${labNats(found.logP)} nats`);
    text2(6, found.logSigma ? `${labNats(found.kl)} nats` : "none");
    this.arrows(this.cards[7].picture, found, lab.theme);
  }

  picture(card, values) {
    const box = this.cards[card].picture;
    if (this.lab.planar) { box.textContent = pair(values); return; }
    const canvas = box.querySelector("canvas") ?? node("canvas", { role: "img", "aria-label": card ? "decoded" : "the example", width: 56, height: 56 }, box);
    const ctx = canvas.getContext("2d");
    ctx.clearRect(0, 0, 56, 56);
    drawDigit(ctx, values, this.lab.shape, 0, 0, 56, this.lab.theme.fg);
  }

  // Two arrows from the mean, in the plane of the first two latents, and two bars for each log sigma.
  arrows(box, { push, pull, logSigma }, theme) {
    const canvas = box.querySelector("canvas") ?? node("canvas", { role: "img", width: 264, height: 150, className: "vw-lab-arrows" }, box);
    canvas.setAttribute("aria-label", "Arrows on the mean and on log σ, by the reconstruction and by the KL");
    const ctx = canvas.getContext("2d"), pairs = [[push, theme.accent, "log P(X|z)"], ...(pull ? [[pull, theme.classes[1], "KL"]] : [])];
    ctx.clearRect(0, 0, 264, 150);
    ctx.font = "11px system-ui, sans-serif";
    ctx.textBaseline = "middle";
    const most = (name) => Math.max(1e-9, ...pairs.flatMap(([force]) => (force[name] ?? []).slice(0, 2).map(Math.abs)).filter(Number.isFinite));
    const [x, y] = [70, 68], scale = 50 / most("mean");
    ctx.fillStyle = theme.muted;
    ctx.textAlign = "center";
    ctx.fillText("on μ", x, 142);
    pairs.forEach(([force, color]) => this.arrow(ctx, [x, y], [x + scale * force.mean[0], y - scale * force.mean[1]], color));
    ctx.fillStyle = theme.fg;
    ctx.fillRect(x - 2, y - 2, 4, 4);
    if (logSigma) {
      ctx.fillStyle = theme.muted;
      ctx.fillText("on log σ", 196, 142);
      const high = 50 / most("logSigma");
      [0, 1].forEach((latent) => pairs.forEach(([force, color], k) => {
        const at = 168 + 44 * latent + 14 * k;
        this.arrow(ctx, [at, y], [at, y - high * force.logSigma[latent]], color);
      }));
    }
    let left = 4;
    ctx.textAlign = "left";
    for (const [, color, name] of pairs) { ctx.fillStyle = color; ctx.fillText(name, left, 8); left += ctx.measureText(name).width + 14; }
  }

  arrow(ctx, from, to, color) {
    if (![...from, ...to].every(Number.isFinite)) return;
    const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
    ctx.strokeStyle = ctx.fillStyle = color;
    ctx.lineWidth = 2.5;
    if (length < 1) { ctx.fillRect(from[0] - 3, from[1] - 1, 6, 2); return; }
    ctx.beginPath();
    ctx.moveTo(...from);
    ctx.lineTo(...to);
    ctx.stroke();
    const angle = Math.atan2(to[1] - from[1], to[0] - from[0]), head = Math.min(8, length);
    ctx.beginPath();
    for (const turn of [0, 2.6, -2.6]) ctx.lineTo(to[0] + (turn ? head * Math.cos(angle + turn) : 0), to[1] + (turn ? head * Math.sin(angle + turn) : 0));
    ctx.fill();
  }
}
