// What the training engine computes with: draws, products of matrices, activations. One function
// that stands alone, as trainEngine does.

function trainMath() {
  // ---------------------------------------------------------------- draws

  // mulberry32, addressed by position: draw k of a stream depends on the seed, the stream and k alone.
  class Draws {
    constructor(seed, stream, at = 0) {
      this.start = (Math.imul(seed, 0x9e3779b1) + Math.imul(stream + 1, 0x85ebca6b)) >>> 0;
      this.at = at;
    }

    uniform() {
      this.at += 1;
      const state = (this.start + Math.imul(this.at, 0x6d2b79f5)) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    }

    normal() {
      const a = this.uniform(), b = this.uniform();
      return Math.sqrt(-2 * Math.log(1 - a)) * Math.cos(2 * Math.PI * b);
    }
  }
  const STREAM = { weights: 0, batches: 1, noise: 2, scoring: 3, data: 4 };

  // ---------------------------------------------------------------- matrices

  // y[n, rows] = x[n, cols] w[rows, cols]' + bias. Blocks of 2 x 4 keep eight sums in registers.
  function affine(y, x, w, bias, n, rows, cols) {
    for (let i = 0; i < n; i += 2) {
      const one = i + 1 < n ? 1 : 0, p = i * cols, q = (i + one) * cols;
      let r = 0;
      for (; r + 3 < rows; r += 4) {
        const w0 = r * cols, w1 = w0 + cols, w2 = w1 + cols, w3 = w2 + cols;
        let a0 = bias[r], a1 = bias[r + 1], a2 = bias[r + 2], a3 = bias[r + 3], b0 = a0, b1 = a1, b2 = a2, b3 = a3;
        for (let k = 0; k < cols; k++) {
          const u = x[p + k], v = x[q + k], c0 = w[w0 + k], c1 = w[w1 + k], c2 = w[w2 + k], c3 = w[w3 + k];
          a0 += u * c0; a1 += u * c1; a2 += u * c2; a3 += u * c3;
          b0 += v * c0; b1 += v * c1; b2 += v * c2; b3 += v * c3;
        }
        const to = i * rows + r, too = (i + one) * rows + r;
        y[to] = a0; y[to + 1] = a1; y[to + 2] = a2; y[to + 3] = a3;
        y[too] = b0; y[too + 1] = b1; y[too + 2] = b2; y[too + 3] = b3;
      }
      for (; r < rows; r++) {
        let a = bias[r], b = a;
        for (let k = 0; k < cols; k++) { a += x[p + k] * w[r * cols + k]; b += x[q + k] * w[r * cols + k]; }
        y[i * rows + r] = a;
        y[(i + one) * rows + r] = b;
      }
    }
  }

  // out[m, cols] = sum over k of left(m, k) right[k, cols], with left[m * across + k * along].
  // Rows of `right` whose four factors are all zero cost nothing.
  function combine(out, left, across, along, right, m, inner, cols) {
    for (let i = 0; i < m; i++) {
      const to = i * cols;
      out.fill(0, to, to + cols);
      let k = 0;
      for (; k + 3 < inner; k += 4) {
        const at = i * across + k * along;
        const a = left[at], b = left[at + along], c = left[at + 2 * along], d = left[at + 3 * along];
        if (a === 0 && b === 0 && c === 0 && d === 0) continue;
        const p = k * cols, q = p + cols, r = q + cols, s = r + cols;
        for (let j = 0; j < cols; j++) out[to + j] += a * right[p + j] + b * right[q + j] + c * right[r + j] + d * right[s + j];
      }
      for (; k < inner; k++) {
        const a = left[i * across + k * along], p = k * cols;
        if (a !== 0) for (let j = 0; j < cols; j++) out[to + j] += a * right[p + j];
      }
    }
  }

  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const softplus = (x) => (x > 0 ? x : 0) + Math.log1p(Math.exp(-Math.abs(x)));

  // value(h) and the slope, of the pre-activation h and the value y.
  const ACTIVATION = {
    relu: [(h) => (h > 0 ? h : 0), (h) => (h > 0 ? 1 : 0)],
    tanh: [Math.tanh, (h, y) => 1 - y * y],
    silu: [(h) => h * sigmoid(h), (h) => { const s = sigmoid(h); return s * (1 + h * (1 - s)); }],
    softplus: [(h) => (h > 20 ? h : softplus(h)), (h) => (h > 20 ? 1 : sigmoid(h))],
    identity: [(h) => h, () => 1],
  };

  return { Draws, STREAM, affine, combine, sigmoid, softplus, ACTIVATION };
}
