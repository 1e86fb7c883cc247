// The training engine: forward pass, back-propagation and Adam for the book's MLPs, in typed arrays.
//
// One function that stands alone, so that its own text is what a Worker runs. Numbers are those of
// vae_core/widgets/_training_twin.py: the same streams of draws, first weights, batches and noise.

function trainEngine({ Draws, STREAM, affine, combine, sigmoid, softplus, ACTIVATION } = trainMath()) {
  const LOG_2PI = Math.log(2 * Math.PI), SMALLEST_VARIANCE = 1e-8; // GaussianLikelihood.SMALLEST_SIGMA squared
  const CHUNK = 50; // examples scored at a time, so that no slice of work is long

  // ---------------------------------------------------------------- one model in training

  // The tensors of the model, in the order and under the names of PyTorch's state_dict.
  function tensorsOf({ model, hidden, latents, sigma, likelihood }, pixels) {
    const tensors = [];
    const add = (name, rows, cols) => tensors.push([`${name}.weight`, rows, cols], [`${name}.bias`, rows, 0]);
    let width = pixels;
    hidden.forEach((next, i) => { add(`encoder.layers.${i}`, next, width); width = next; });
    add("encoder.mean", latents, width);
    if (model === "VAE") add("encoder.log_sigma", latents, width);
    width = latents;
    [...hidden].reverse().concat(pixels).forEach((next, i) => { add(`decoder.layers.${i}`, next, width); width = next; });
    if (likelihood === "gaussian" && sigma === "learned") tensors.push(["likelihood.log_sigma", 1, 0]);
    return tensors;
  }

  const sizeOf = ([, rows, cols]) => rows * (cols || 1);

  class Layer {
    constructor(rows, cols, take) {
      Object.assign(this, { rows, cols });
      [this.weight, this.weightSlope] = take(rows * cols);
      [this.bias, this.biasSlope] = take(rows);
    }

    // Room for n examples: outputs, and, where an activation follows, its values and slopes.
    room(n, active) {
      this.out = new Float64Array(n * this.rows);
      this.value = active ? new Float64Array(n * this.rows) : this.out;
      this.slope = new Float64Array(n * this.rows); // of the loss, with respect to `out`
    }

    forward(x, n, activation) {
      affine(this.out, x, this.weight, this.bias, n, this.rows, this.cols);
      if (!activation) return this.out;
      const [f] = activation, { out, value } = this;
      for (let i = 0; i < n * this.rows; i++) value[i] = f(out[i]);
      return value;
    }

    // From `slope`: the gradients of weight and bias, and, if asked, of the input, into `back`.
    backward(x, n, back) {
      const { slope, rows, cols } = this;
      combine(this.weightSlope, slope, 1, rows, x, rows, n, cols);
      this.biasSlope.fill(0);
      for (let i = 0; i < n; i++) for (let r = 0; r < rows; r++) this.biasSlope[r] += slope[i * rows + r];
      if (back) combine(back, slope, rows, 1, this.weight, n, rows, cols);
    }
  }

  class Trainer {
    // data: { pixels, link, train: [n, pixels] Float64Array, heldOut }; weights: all tensors in one array.
    constructor(settings, data, weights = null) {
      this.settings = settings;
      this.data = data;
      const { hidden, latents, model, seed } = settings, { pixels } = data;
      this.tensors = tensorsOf(settings, pixels);
      const size = this.tensors.reduce((sum, tensor) => sum + sizeOf(tensor), 0);
      this.theta = new Float64Array(size);
      this.slopes = new Float64Array(size);
      this.first = new Float64Array(size);
      this.second = new Float64Array(size);
      this.step = 0;
      let at = 0;
      const take = (count) => {
        at += count;
        return [this.theta.subarray(at - count, at), this.slopes.subarray(at - count, at)];
      };
      let width = pixels;
      const layer = (next, before) => new Layer(next, before, take);
      this.encoder = hidden.map((next) => { const made = layer(next, width); width = next; return made; });
      this.mean = layer(latents, width);
      this.logSigma = model === "VAE" ? layer(latents, width) : null;
      width = latents;
      this.decoder = [...hidden].reverse().concat(pixels).map((next) => { const made = layer(next, width); width = next; return made; });
      if (at < size) [this.spread, this.spreadSlope] = take(1);
      if (weights) this.theta.set(weights);
      else this.begin(new Draws(seed, STREAM.weights));
      this.batches = new Draws(seed, STREAM.batches);
      this.noise = new Draws(seed, STREAM.noise);
      this.order = [];
      this.stored = 0; // log sigma of "optimal", as GaussianLikelihood keeps it for evaluation
      this.seen = 0;
      this.baseline = null;
      this.room = 0;
      this.rest = 0; // examples since the last batch of the epoch was taken
    }

    // torch.nn.Linear's first weights: uniform within one over the root of the number of inputs.
    begin(draws) {
      const layers = [...this.encoder, this.mean, ...(this.logSigma ? [this.logSigma] : []), ...this.decoder];
      for (const { weight, bias, cols } of layers) {
        const bound = 1 / Math.sqrt(cols);
        for (const part of [weight, bias]) for (let i = 0; i < part.length; i++) part[i] = (2 * draws.uniform() - 1) * bound;
      }
    }

    // A twin that goes on from here by itself; only settings that keep the shapes may differ.
    fork(settings) {
      const twin = new Trainer(settings, this.data, this.theta);
      for (const name of ["first", "second"]) twin[name].set(this[name]);
      for (const name of ["step", "stored", "seen", "baseline", "failed"]) twin[name] = this[name];
      twin.order = [...this.order];
      twin.batches.at = this.batches.at;
      twin.noise.at = this.noise.at;
      return twin;
    }

    has(fault) { return this.settings.faults.includes(fault); }

    makeRoom(n) {
      if (n <= this.room) return;
      this.room = n;
      const { latents } = this.settings, { pixels } = this.data;
      this.x = new Float64Array(n * pixels);
      for (const layer of this.encoder) layer.room(n, true);
      this.decoder.forEach((layer, i) => layer.room(n, i < this.decoder.length - 1));
      this.mean.room(n, false);
      this.logSigma?.room(n, false);
      for (const name of ["eps", "z", "zSlope", "meanPush", "spreadPush", "meanPull", "spreadPull"]) this[name] = new Float64Array(n * latents);
      this.back = new Float64Array(n * Math.max(pixels, latents, ...this.settings.hidden));
      this.back2 = new Float64Array(this.back.length);
      this.logP = new Float64Array(n);
      this.squared = new Float64Array(n);
    }

    // ------------------------------------------------------------ forward

    encode(x, n) {
      const activation = ACTIVATION[this.settings.activation];
      let h = x;
      for (const layer of this.encoder) h = layer.forward(h, n, activation);
      this.mean.forward(h, n);
      this.logSigma?.forward(h, n);
    }

    // z = mean + sigma * eps, from `this.eps`.
    draw(n) {
      const count = n * this.settings.latents, { z, eps } = this, mean = this.mean.out, log = this.logSigma?.out;
      for (let i = 0; i < count; i++) z[i] = log ? mean[i] + Math.exp(log[i]) * eps[i] : mean[i];
    }

    decode(z, n) {
      const activation = ACTIVATION[this.settings.activation], last = this.decoder.length - 1;
      let h = z;
      this.decoder.forEach((layer, i) => { h = layer.forward(h, n, i < last ? activation : null); });
      return h;
    }

    // The link that the loss takes: "identity" on planar data, and where the fault leaves it out.
    get link() { return this.has("no-link") ? "identity" : this.data.link; }

    meanOf(output) { return this.link === "identity" ? output : sigmoid(output); }

    get variance() {
      const { sigma } = this.settings;
      if (sigma === "optimal") return Math.exp(2 * this.stored);
      return sigma === "learned" ? Math.exp(2 * this.spread[0]) : sigma * sigma;
    }

    // log P(x|z) of each example into `logP`, in nats; for "optimal" with the batch's own sigma if `training`.
    likelihood(x, output, n, training) {
      const { pixels } = this.data, { logP, squared } = this;
      if (this.settings.likelihood === "bernoulli") {
        const raw = this.link === "identity";
        for (let i = 0; i < n; i++) {
          let sum = 0;
          for (let j = i * pixels; j < (i + 1) * pixels; j++) {
            const o = output[j];
            sum += raw ? (x[j] > 0 ? Math.log(o) : Math.log(1 - o)) : x[j] * o - softplus(o);
          }
          logP[i] = sum;
        }
        return;
      }
      let total = 0;
      for (let i = 0; i < n; i++) {
        let sum = 0;
        for (let j = i * pixels; j < (i + 1) * pixels; j++) { const d = this.meanOf(output[j]) - x[j]; sum += d * d; }
        squared[i] = sum;
        total += sum;
      }
      let { variance } = this;
      if (training && this.settings.sigma === "optimal") {
        const error = total / (n * pixels);
        variance = Math.max(SMALLEST_VARIANCE, error);
        if (!this.looking) {
          this.seen += 1;
          const before = Math.exp(2 * this.stored);
          const running = before + Math.max(0.01, 1 / this.seen) * (error - before);
          this.stored = 0.5 * Math.log(Math.max(SMALLEST_VARIANCE, running));
        }
      }
      this.used = variance;
      const constant = 0.5 * pixels * (Math.log(variance) + LOG_2PI);
      for (let i = 0; i < n; i++) logP[i] = -0.5 * squared[i] / variance - constant;
    }

    // The KL of one latent as the program has it, with what each fault makes of it; and its slopes.
    divergence(mu, s) {
      const half = this.has("variance-as-sigma"), v = half ? Math.exp(s) : Math.exp(2 * s), log = half ? 0.5 * s : s;
      const sign = this.has("kl-sign") ? -1 : 1, grow = half ? v : 2 * v, fall = half ? 0.5 : 1;
      if (this.has("printed-kl")) return [sign * (v + mu * mu - log - 0.5), sign * 2 * mu, sign * (grow - fall)];
      // expm1 as in DiagonalGaussian: near the prior v - 1 keeps its digits.
      const excess = half ? Math.expm1(s) : Math.expm1(2 * s);
      return [sign * (0.5 * (excess + mu * mu) - log), sign * mu, sign * (0.5 * grow - fall)];
    }

    // ------------------------------------------------------------ the step

    nextBatch() {
      const { batch } = this.settings, { train, pixels } = this.data, count = train.length / pixels;
      const chosen = [];
      while (chosen.length < batch) {
        if (!this.order.length) {
          const keys = Float64Array.from({ length: count }, () => this.batches.uniform());
          this.order = Array.from(keys.keys()).sort((a, b) => keys[a] - keys[b] || a - b);
        }
        chosen.push(...this.order.splice(0, batch - chosen.length));
      }
      return chosen;
    }

    fill(n, rows, from = this.data.train) {
      const { pixels } = this.data;
      rows.forEach((row, i) => this.x.set(from.subarray(row * pixels, (row + 1) * pixels), i * pixels));
    }

    drawNoise(n, from = this.noise) {
      const { latents } = this.settings;
      for (let i = 0; i < n * latents; i++) this.eps[i] = from.normal();
      if (this.has("shared-noise")) for (let i = latents; i < n * latents; i++) this.eps[i] = this.eps[i % latents];
      if (this.has("no-noise")) this.eps.fill(0, 0, n * latents);
    }

    // One step of Adam on the next batch; gives the loss as the program prints it, in nats an example.
    train() {
      const { batch } = this.settings;
      this.makeRoom(batch);
      this.fill(batch, this.nextBatch());
      this.drawNoise(batch);
      const terms = this.gradients(batch);
      if (!Number.isFinite(terms.loss)) {
        this.failed = { step: this.step + 1, loss: String(terms.loss) };
        return terms;
      }
      this.step += 1;
      this.adam();
      return terms;
    }

    // Loss and gradients of the n examples in `x` with the noise in `eps`.
    gradients(n, training = true) {
      const { latents, likelihood, beta, sigma } = this.settings, { pixels } = this.data, { x, logP } = this;
      this.encode(x, n);
      this.draw(n);
      const output = this.decode(this.z, n);
      this.likelihood(x, output, n, training);
      const weight = this.has("mean-over-pixels") ? 1 / pixels : 1;
      let reconstruction = 0, kl = 0;
      for (let i = 0; i < n; i++) reconstruction += weight * logP[i] / n;
      // What each example's log P sends back: minus its slope with respect to the decoder's output.
      const slope = this.decoder.at(-1).slope, raw = this.link === "identity", factor = weight / n;
      if (likelihood === "bernoulli") {
        for (let j = 0; j < n * pixels; j++) {
          const o = output[j];
          slope[j] = raw ? factor * (x[j] > 0 ? -1 / o : 1 / (1 - o)) : factor * (sigmoid(o) - x[j]);
        }
      } else {
        const scale = factor / this.used;
        for (let j = 0; j < n * pixels; j++) {
          const m = this.meanOf(output[j]);
          slope[j] = scale * (m - x[j]) * (raw ? 1 : m * (1 - m));
        }
        if (sigma === "learned") {
          let sum = 0;
          for (let i = 0; i < n; i++) sum += this.squared[i];
          this.spreadSlope[0] = factor * (n * pixels - sum / this.used);
        }
      }
      this.backThroughDecoder(n);
      this.latentSlopes(n, weight);
      if (this.logSigma) {
        for (let i = 0; i < n * latents; i++) {
          const [value, bySlope, byLog] = this.divergence(this.mean.out[i], this.logSigma.out[i]);
          kl += value / n;
          this.meanPull[i] = beta * bySlope / n;
          this.spreadPull[i] = beta * byLog / n;
        }
      }
      this.backThroughEncoder(n);
      return { loss: -reconstruction + (this.logSigma ? beta * kl : 0), reconstruction, kl };
    }

    backThroughDecoder(n) {
      const slope = ACTIVATION[this.settings.activation][1];
      for (let l = this.decoder.length - 1; l >= 0; l--) {
        const before = l ? this.decoder[l - 1] : null;
        this.decoder[l].backward(before ? before.value : this.z, n, before ? this.back : this.zSlope);
        if (before) for (let i = 0; i < n * before.rows; i++) before.slope[i] = this.back[i] * slope(before.out[i], before.value[i]);
      }
    }

    // The reconstruction's slope with respect to mean and log sigma, by the estimator at hand.
    latentSlopes(n, weight) {
      const { latents, estimator } = this.settings, { zSlope, eps, meanPush, spreadPush } = this, log = this.logSigma?.out;
      const count = n * latents;
      if (!log) { meanPush.set(zSlope.subarray(0, count)); return; }
      if (estimator === "stopped" || this.has("stopped")) {
        meanPush.fill(0, 0, count);
        spreadPush.fill(0, 0, count);
      } else if (estimator === "path-wise") {
        for (let i = 0; i < count; i++) {
          meanPush[i] = zSlope[i];
          spreadPush[i] = zSlope[i] * Math.exp(log[i]) * eps[i];
        }
      } else {
        // log P(X|z) d log Q(z|X), z held fixed; RunningBaseline's value is subtracted if asked for.
        let base = 0;
        if (estimator === "score-function with a baseline") {
          let mean = 0;
          for (let i = 0; i < n; i++) mean += weight * this.logP[i] / n;
          base = this.baseline ?? 0;
          if (!this.looking) this.baseline = this.baseline === null ? mean : base + 0.1 * (mean - base);
        }
        for (let i = 0; i < count; i++) {
          const signal = (weight * this.logP[Math.floor(i / latents)] - base) / n;
          meanPush[i] = -signal * eps[i] * Math.exp(-log[i]);
          spreadPush[i] = -signal * (eps[i] * eps[i] - 1);
        }
      }
    }

    backThroughEncoder(n) {
      const { latents } = this.settings, slope = ACTIVATION[this.settings.activation][1], count = n * latents;
      const { mean, logSigma, encoder, back, back2 } = this, last = encoder.at(-1), below = last ? last.value : this.x;
      for (let i = 0; i < count; i++) {
        mean.slope[i] = this.meanPush[i] + (logSigma ? this.meanPull[i] : 0);
        if (logSigma) logSigma.slope[i] = this.spreadPush[i] + this.spreadPull[i];
      }
      mean.backward(below, n, last ? back : null);
      if (logSigma) {
        logSigma.backward(below, n, last ? back2 : null);
        if (last) for (let i = 0; i < n * last.rows; i++) back[i] += back2[i];
      }
      for (let l = encoder.length - 1; l >= 0; l--) {
        const layer = encoder[l];
        for (let i = 0; i < n * layer.rows; i++) layer.slope[i] = back[i] * slope(layer.out[i], layer.value[i]);
        layer.backward(l ? encoder[l - 1].value : this.x, n, l ? back : null);
      }
    }

    // torch.optim.Adam with its defaults.
    adam() {
      const { theta, slopes, first, second, step } = this, size = this.settings.rate / (1 - 0.9 ** step);
      const root = 1 / Math.sqrt(1 - 0.999 ** step);
      for (let i = 0; i < theta.length; i++) {
        const g = slopes[i], m = (first[i] += 0.1 * (g - first[i])), v = (second[i] = 0.999 * second[i] + 0.001 * g * g);
        theta[i] -= size * m / (Math.sqrt(v) * root + 1e-8);
      }
    }

    // ------------------------------------------------------------ looking, which changes nothing

    // All that one step computes of one example x at noise eps: values, terms, and where each pushes.
    dissect(x, eps) {
      this.makeRoom(1);
      this.x.set(x);
      this.eps.set(eps);
      if (this.has("no-noise")) this.eps.fill(0);
      this.looking = true;
      const terms = this.gradients(1);
      this.looking = false;
      const { latents } = this.settings, take = (array) => Array.from(array.subarray(0, latents));
      const against = (array) => take(array).map((v) => -v); // descent goes against the slope
      return {
        ...terms, logP: this.logP[0], x: Array.from(x), eps: take(this.eps), z: take(this.z), mean: take(this.mean.out),
        logSigma: this.logSigma ? take(this.logSigma.out) : null,
        output: Array.from(this.decoder.at(-1).out.subarray(0, this.data.pixels), (o) => this.meanOf(o)),
        push: { mean: against(this.meanPush), logSigma: this.logSigma ? against(this.spreadPush) : null },
        pull: this.logSigma ? { mean: against(this.meanPull), logSigma: against(this.spreadPull) } : null,
      };
    }

    // Means of P(X|z) at points z [n, latents], as one array.
    means(z) {
      const { latents } = this.settings, { pixels } = this.data, count = z.length / latents;
      const means = new Float32Array(count * pixels);
      for (let start = 0; start < count; start += CHUNK) {
        const n = Math.min(CHUNK, count - start);
        this.makeRoom(CHUNK);
        const output = this.decode(z.subarray(start * latents, (start + n) * latents), n);
        for (let j = 0; j < n * pixels; j++) means[start * pixels + j] = this.meanOf(output[j]);
      }
      return means;
    }

    // Means and log sigmas of Q at examples, [n, latents] each; in chunks.
    *codes(examples) {
      const { latents } = this.settings, { pixels } = this.data, count = examples.length / pixels;
      const mean = new Float32Array(count * latents), logSigma = this.logSigma ? new Float32Array(count * latents) : null;
      for (let start = 0; start < count; start += CHUNK) {
        const n = Math.min(CHUNK, count - start);
        this.makeRoom(CHUNK);
        this.x.set(examples.subarray(start * pixels, (start + n) * pixels));
        this.encode(this.x, n);
        mean.set(this.mean.out.subarray(0, n * latents), start * latents);
        logSigma?.set(this.logSigma.out.subarray(0, n * latents), start * latents);
        yield null;
      }
      return { mean, logSigma };
    }

    // ------------------------------------------------------------ scoring

    // The true terms on examples, one draw of each with noise that stays the same from call to call:
    // E log P(X|z), and the KL of each latent of the Q that z is drawn from, faults or none. In chunks.
    *score(examples) {
      const { latents } = this.settings, { pixels } = this.data, count = examples.length / pixels;
      const noise = new Draws(this.settings.seed, STREAM.scoring);
      const codes = new Float64Array(count * latents), kl = new Float64Array(latents);
      let reconstruction = 0;
      for (let start = 0; start < count; start += CHUNK) {
        const n = Math.min(CHUNK, count - start);
        this.makeRoom(CHUNK);
        this.x.set(examples.subarray(start * pixels, (start + n) * pixels));
        this.encode(this.x, n);
        for (let i = 0; i < n * latents; i++) this.eps[i] = noise.normal();
        this.draw(n);
        this.likelihood(this.x, this.decode(this.z, n), n, false);
        for (let i = 0; i < n; i++) reconstruction += this.logP[i] / count;
        codes.set(this.mean.out.subarray(0, n * latents), start * latents);
        if (this.logSigma) {
          for (let i = 0; i < n * latents; i++) {
            const mu = this.mean.out[i], s = this.logSigma.out[i];
            kl[i % latents] += (0.5 * (Math.expm1(2 * s) + mu * mu) - s) / count;
          }
        }
        yield null;
      }
      return { reconstruction, kl, codes };
    }
  }

  return { Trainer, Draws, STREAM, sizeOf };
}
