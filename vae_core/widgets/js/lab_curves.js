// The curves of the training lab: ELBO, reconstruction or printed loss, and the KL, over the steps.

const LAB_QUANTITIES = [["elbo", "ELBO"], ["reconstruction", "log P(X|z)"], ["loss", "loss as printed"]];

class LabCurves {
  constructor(root, lab) {
    this.lab = lab;
    this.quantity = "elbo";
    const bar = node("div", { className: "vw-bar vw-lab-what" }, root);
    choice(bar, "Curve of", LAB_QUANTITIES, this.quantity, (value) => { this.quantity = value; this.draw(); });
    this.keys = node("div", { className: "vw-lab-keys" }, bar);
    const pair = node("div", { className: "vw-lab-charts" }, root);
    const make = (label, yLabel, draw) => {
      const panel = node("div", { className: "vw-panel" }, pair), title = node("div", { className: "vw-title" }, panel);
      const chart = new Chart(panel, {
        label, x: [0, 100], y: [0, 1], xLabel: "step", yLabel, aspect: 0.5,
        handlers: { draw, point: (place) => { this.pointed = place ? place[0] : null; this.draw(); } },
      });
      return [chart, title];
    };
    [this.curve, this.curveTitle] = make("Curve of the ELBO", "nats", (ctx, chart) => this.drawCurve(ctx, chart));
    [this.klChart, this.klTitle] = make("Curve of the KL", "nats", (ctx, chart) => this.drawKl(ctx, chart));
    this.charts = [this.curve, this.klChart];
  }

  close() { this.charts.forEach((chart) => chart.close()); }

  setTheme(theme) { this.charts.forEach((chart) => chart.setTheme(theme)); }

  draw() {
    if (!this.lab.frame) return;
    const { steps, runs } = this.lab.frame, last = Math.max(100, steps.at(-1) ?? 0);
    const names = { elbo: ["heldOut", "train"], reconstruction: ["reconstruction"], loss: ["loss"] }[this.quantity];
    const title = LAB_QUANTITIES.find(([key]) => key === this.quantity)[1];
    this.curve.setRange([0, last], this.span(runs.flatMap(({ history }) => names.flatMap((name) => history[name]))));
    this.klChart.setRange([0, last], this.span(runs.flatMap(({ history }) => [0, ...history.kl]), true));
    this.curveTitle.textContent = title + this.pointedText(names[0]);
    this.klTitle.textContent = `KL${this.pointedText("kl")}`;
    const parts = [["held out", "var(--vw-fg)", false]];
    if (this.quantity === "elbo") parts.push(["training", "var(--vw-fg)", true]);
    if (this.quantity === "loss") parts[0][0] = "last batch";
    // An autoencoder has no bound: its line is log P(X|z) at its code.
    const ofRun = runs.map((_, i) => `run ${"ABC"[i]}${this.quantity === "elbo" && this.lab.runs[i].model === "AE" ? ": log P(X|z)" : ""}`);
    const wanted = JSON.stringify([parts, ofRun]);
    if (this.keysFor !== wanted) {
      this.keysFor = wanted;
      this.keys.replaceChildren();
      for (const [text, color, dash] of parts) {
        const entry = node("span", { className: "vw-key", textContent: text, style: `--vw-swatch: ${color}` }, this.keys);
        if (dash) entry.dataset.dash = "";
      }
      if (runs.length > 1 || ofRun[0].includes(":")) ofRun.forEach((textContent, i) => node("span", { className: "vw-key", textContent, style: `--vw-swatch: ${i ? `var(--vw-class-${LAB_COLORS[i]})` : "var(--vw-accent)"}` }, this.keys));
    }
    this.curve.describe(`${title} in nats over ${last} steps: ${runs.map(({ history }, i) => `run ${"ABC"[i]} ${labNats(history[names[0]].at(-1))}`).join(", ")}`);
    this.klChart.describe(`KL in nats over ${last} steps, in all and of each latent: ${runs.map(({ history }, i) => `run ${"ABC"[i]} ${labNats(history.kl.at(-1))}`).join(", ")}`);
  }

  // The values at the step that is pointed at.
  pointedText(name) {
    const { steps, runs } = this.lab.frame;
    if (this.pointed === null || this.pointed === undefined || !steps.length) return "";
    let at = 0;
    steps.forEach((step, i) => { if (Math.abs(step - this.pointed) < Math.abs(steps[at] - this.pointed)) at = i; });
    return ` at step ${steps[at]}: ${runs.map(({ history }) => labNats(history[name][at])).join(" | ")}`;
  }

  // Room for the curves: at most 1,000 nats. The first moments, and what runs away, may lie outside.
  span(values, fromZero = false) {
    const finite = values.filter(Number.isFinite).sort((a, b) => a - b);
    if (!finite.length) return [0, 1];
    const at = (share) => finite[Math.round(share * (finite.length - 1))], least = at(0.04), most = at(0.99);
    const low = fromZero ? 0 : Math.max(least, most - 1000);
    const high = Math.max(low + 1, fromZero ? Math.min(finite.at(-1), least + 1000) : most);
    const pad = 0.06 * (high - low);
    return [fromZero ? 0 : low - pad, high + pad];
  }

  drawCurve(ctx, chart) {
    if (!this.lab.frame) return;
    const { steps, runs } = this.lab.frame;
    runs.forEach(({ history }, i) => {
      const color = labColor(this.lab.theme, i);
      if (this.quantity === "elbo") chart.line(ctx, steps, history.train, color, { width: 1.5, dash: [5, 4] });
      chart.line(ctx, steps, history[{ elbo: "heldOut", reconstruction: "reconstruction", loss: "loss" }[this.quantity]], color, { width: 2.2 });
    });
    this.drawPointed(ctx, chart);
  }

  drawKl(ctx, chart) {
    if (!this.lab.frame) return;
    const { steps, runs } = this.lab.frame;
    runs.forEach(({ history }, i) => {
      const color = labColor(this.lab.theme, i), latents = history.perLatent[0]?.length ?? 0;
      for (let k = 0; k < latents; k++) {
        const values = history.perLatent.map((row) => row[k]);
        chart.line(ctx, steps, values, color, { width: 1, alpha: 0.7 });
        if (runs.length === 1 && values.length && latents < 5) {
          ctx.textAlign = "right";
          ctx.textBaseline = "bottom";
          const y = Math.max(chart.inner.top + 12, Math.min(chart.inner.top + chart.inner.height, chart.py(values.at(-1)) - 2));
          if (Number.isFinite(y)) chart.text(ctx, `z${"₁₂₃₄"[k]}`, chart.px(steps.at(-1)) - 4 - 22 * k, y, color, "600 11px system-ui, sans-serif");
        }
      }
      chart.line(ctx, steps, history.kl, color, { width: 2.2 });
    });
    this.drawPointed(ctx, chart);
  }

  drawPointed(ctx, chart) {
    if (this.pointed !== null && this.pointed !== undefined) chart.rule(ctx, "x", this.pointed, this.lab.theme.muted, { width: 1, dash: [2, 3] });
  }
}
