// An encoder's Q(z|X) of a digit with two latents: its numbers, and its picture in the plane.

// log P(x|z) in nats from the decoder's output, as vae_core.distributions defines it.
const LOG_PROB = {
  gaussian(x, output, { link, sigma }) {
    let squared = 0;
    for (let i = 0; i < x.length; i++) squared += (x[i] - ACTIVATIONS[link](output[i])) ** 2;
    const n = x.length;
    return -squared / (2 * sigma * sigma) - n * Math.log(sigma) - (n / 2) * Math.log(2 * Math.PI);
  },
  bernoulli(x, output) {
    let total = 0;
    for (let i = 0; i < x.length; i++) {
      const o = output[i];
      total += x[i] * o - Math.max(o, 0) - Math.log1p(Math.exp(-Math.abs(o)));
    }
    return total;
  },
};

class DigitPosterior {
  constructor(encoder, decoder, likelihood) { Object.assign(this, { encoder, decoder, likelihood }); }

  // Pixels as the model takes them: grey in [0, 1], or black and white for Bernoulli pixels.
  input(bytes) {
    const binary = this.likelihood.kind === "bernoulli";
    return Float32Array.from(bytes, (v) => (binary ? Number(v >= 127.5) : v / 255));
  }

  encode(x) {
    const out = this.encoder.forward(x);
    return { mean: [out[0], out[1]], logSigma: [out[2], out[3]] };
  }

  sample({ mean, logSigma }, noise) { return mean.map((m, i) => m + Math.exp(logSigma[i]) * noise[i]); }

  kl({ mean, logSigma }) {
    return mean.map((m, i) => (Math.exp(2 * logSigma[i]) + m * m - 1) / 2 - logSigma[i]);
  }

  logProb(x, z) {
    return LOG_PROB[this.likelihood.kind](x, this.decoder.mlp.forward(z), this.likelihood);
  }
}

function normalPair() {
  const radius = Math.sqrt(-2 * Math.log(1 - Math.random())), angle = 2 * Math.PI * Math.random();
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

// Q(z|X) at one and two standard deviations, and a draw of it.
function drawCode(ctx, plane, theme, q, z) {
  const sigma = q.logSigma.map(Math.exp);
  for (const k of [2, 1]) {
    plane.ellipse(ctx, q.mean, sigma, k, theme.panel, 4);
    plane.ellipse(ctx, q.mean, sigma, k, theme.fg, k === 1 ? 2 : 1.25);
  }
  ctx.fillStyle = theme.accent;
  ctx.beginPath();
  ctx.arc(...plane.toPixel(z), 3, 0, 2 * Math.PI);
  ctx.fill();
}

// A magnifier in the corner farthest from Q; `paint(lens)` draws what is seen through it. Its factor
// is the largest round one at which two standard deviations still fit.
function drawCodeLens(ctx, plane, theme, q, paint, share = 0.36) {
  const side = Math.round(share * plane.size), gap = 10;
  const room = 0.4 * side / (2 * Math.exp(Math.max(...q.logSigma)) * plane.scale);
  const factor = [100, 50, 20, 10, 5, 2, 1].find((k) => k <= room) ?? 1;
  const [x, y] = plane.toPixel(q.mean), far = plane.size - side - gap;
  const left = x > plane.size / 2 ? gap + 18 : far, top = y > plane.size / 2 ? gap : far - 14;
  const lens = Object.create(plane, {
    size: { value: side },
    ratio: { value: plane.ratio },
    view: { value: { x: q.mean[0], y: q.mean[1], reach: plane.view.reach * side / plane.size / factor } },
  });
  const half = side / factor / 2;
  ctx.strokeStyle = theme.muted;
  ctx.lineWidth = 1;
  ctx.strokeRect(x - half, y - half, 2 * half, 2 * half);
  ctx.beginPath();
  const edge = [x > plane.size / 2 ? left + side : left, y > plane.size / 2 ? top + side : top];
  ctx.moveTo(x + (x > plane.size / 2 ? -half : half), y + (y > plane.size / 2 ? -half : half));
  ctx.lineTo(...edge);
  ctx.stroke();
  ctx.save();
  ctx.translate(left, top);
  ctx.beginPath();
  ctx.roundRect(0, 0, side, side, 8);
  ctx.fillStyle = theme.bg;
  ctx.fill();
  ctx.save();
  ctx.clip();
  paint(lens);
  ctx.restore();
  ctx.beginPath();
  ctx.roundRect(0, 0, side, side, 8);
  ctx.lineWidth = 1;
  ctx.strokeStyle = theme.muted;
  ctx.stroke();
  ctx.font = "600 11px system-ui, sans-serif";
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  plane.text(ctx, `× ${factor}`, 8, 7, theme.fg, { panel: theme.bg });
  ctx.textAlign = "right";
  ctx.textBaseline = "bottom";
  plane.text(ctx, "1σ, 2σ", side - 8, side - 6, theme.muted, { panel: theme.bg });
  ctx.restore();
}

// The codes that a lens shows, one class brought out or, with -1, none.
function drawLensCodes(ctx, lens, theme, codes, out = -1) {
  const { x, y, reach } = lens.view;
  for (let i = 0; i < codes.count; i++) {
    if (Math.abs(codes.x[i] - x) > reach || Math.abs(codes.y[i] - y) > reach) continue;
    const label = codes.labels[i];
    ctx.globalAlpha = out < 0 ? 0.6 : label === out ? 0.9 : 0.15;
    drawClassMark(ctx, label, ...lens.toPixel(codes.at(i)), 3, classColor(theme, label));
  }
  ctx.globalAlpha = 1;
}
