// Unpacks pictures of whole numbers (digits at a few greys, weights next to pixels): a static
// model of each level's neighbourhood, coded by rANS. vae_core/widgets/_entropy.py says how they
// are packed, and has the same numbers and the same decoder.

const PRECISION = 12, TOTAL = 1 << PRECISION; // of a frequency
const ABOVE = 2, LEFT = 2, RIGHT = 1; // the frame of zeros around a picture
const PREDICTED = [8, 24, 40, 64, 96, 144, 224, 352], SIDES = 2 * PREDICTED.length + 1;
const BUSY = [1, 2, 3, 4, 5, 7, 10, 15, 22, 31, 45, 64, 90, 128, 181];

// How many thresholds each value from 0 reaches; beyond the last, all of them.
const stairs = (thresholds) => Uint8Array.from({ length: thresholds.at(-1) + 1 },
  (_, value) => thresholds.filter((threshold) => threshold <= value).length);
const PREDICTED_STEP = stairs(PREDICTED), BUSY_STEP = stairs(BUSY);

// Where each level of each context begins, of TOTAL, and at the row's end TOTAL. Rows are filled up
// with TOTAL, so that a level is found by halving.
function beginnings(codes, levels, width) {
  const rows = codes.length / levels, begins = new Uint16Array(rows * (width + 1)).fill(TOTAL);
  const values = new Int32Array(levels);
  for (let row = 0; row < rows; row++) {
    let sum = 0, seen = 0, largest = 0;
    for (let k = 0; k < levels; k++) {
      const code = codes[row * levels + k], doublings = Math.max((code >> 4) - 1, 0);
      values[k] = (code - 16 * doublings) << doublings;
      sum += values[k];
      if (values[k]) seen++;
      if (values[k] > values[largest]) largest = k;
    }
    if (!sum) continue;
    let spare = TOTAL;
    for (let k = 0; k < levels; k++) {
      if (values[k]) values[k] = 1 + Math.floor((values[k] * (TOTAL - seen)) / sum);
      spare -= values[k];
    }
    values[largest] += spare;
    for (let k = 0, begin = 0; k < levels; begin += values[k++]) begins[row * (width + 1) + k] = begin;
  }
  return begins;
}

class Pictures {
  constructor(buffer, offset) {
    const [count, height, width, per, low, levels, four, ...coefficients] = new Int32Array(buffer, offset, 13);
    Object.assign(this, { count, height, width, per, low, levels, four, coefficients });
    this.pixels = height * width;
    this.stride = LEFT + width + RIGHT;
    this.top = 2 ** Math.ceil(Math.log2(levels));
    const cells = levels * (four ? 4 ** 6 : SIDES * (BUSY.length + 1)), lanes = Math.ceil(count / per);
    const padded = (bytes) => 4 * Math.ceil(bytes / 4);
    this.begins = beginnings(new Uint8Array(buffer, offset + 52, cells), levels, this.top);
    let at = offset + 52 + padded(cells);
    this.states = new Uint32Array(buffer, at, lanes);
    this.starts = [0];
    for (const length of new Uint32Array(buffer, at += 4 * lanes, lanes)) this.starts.push(this.starts.at(-1) + length);
    this.words = new Uint16Array(buffer, at += 4 * lanes, this.starts.at(-1));
    this.end = at + padded(this.words.byteLength);
  }

  // What the six neighbours predict, and how busy it is around.
  signed(west, north, northwest, northeast, west2, north2) {
    const [a, b, c, d, e, f] = this.coefficients;
    const guess = a * west + b * north + c * northwest + d * northeast + e * west2 + f * north2;
    const side = PREDICTED_STEP[Math.min(Math.abs(guess), PREDICTED_STEP.length - 1)];
    const busy = 2 * (Math.abs(west) + Math.abs(north)) + Math.abs(northwest) + Math.abs(northeast);
    return SIDES * BUSY_STEP[Math.min(busy, BUSY_STEP.length - 1)] + PREDICTED.length + (guess < 0 ? -side : side);
  }

  // The pictures of one lane, one after another. This runs for every pixel of 10,000 digits:
  // neighbours slide along in variables, only those in the rows above are read, and the state stays
  // a signed integer, whose 32 bits are what counts.
  lane(index) {
    const { height, width, low, four, stride, begins, words, top } = this;
    const framed = new Int32Array((ABOVE + height) * stride);
    const pictures = Math.min(this.per, this.count - index * this.per);
    const out = new Int8Array(pictures * this.pixels);
    let state = this.states[index] | 0, word = this.starts[index], to = 0;
    for (let picture = 0; picture < pictures; picture++) {
      // Only what was read of this picture is looked at: the last one's rest may stay in the frame.
      for (let y = 0; y < height; y++) {
        let at = (ABOVE + y) * stride + LEFT, west = 0, west2 = 0;
        let northwest = 0, north = framed[at - stride];
        for (const end = at + width; at < end; at++) {
          const northeast = framed[at - stride + 1], north2 = framed[at - 2 * stride];
          const context = four
            ? west << 10 | north << 8 | northwest << 6 | northeast << 4 | west2 << 2 | north2
            : this.signed(west, north, northwest, northeast, west2, north2);
          const row = context * (top + 1), slot = state & (TOTAL - 1);
          let symbol = 0;
          for (let half = top >> 1; half; half >>= 1) if (begins[row + symbol + half] <= slot) symbol += half;
          const begin = begins[row + symbol], frequency = begins[row + symbol + 1] - begin;
          state = Math.imul(frequency, state >>> PRECISION) + slot - begin | 0;
          if (state >>> 16 === 0) state = state << 16 | words[word++]; // below 2 ** 16: take a word
          west2 = west;
          west = out[to++] = framed[at] = symbol + low;
          northwest = north;
          north = northeast;
        }
      }
    }
    return out;
  }

  // Levels times scale as float32 [rows, cols]: each picture is a row of the weights, or a column.
  weights(byColumn, scale) {
    const { count, pixels, per } = this, weights = new Float32Array(count * pixels);
    const [picture, pixel] = byColumn ? [1, count] : [pixels, 1];
    for (let first = 0; first < count; first += per) {
      this.lane(first / per).forEach((level, i) => {
        weights[(first + Math.floor(i / pixels)) * picture + (i % pixels) * pixel] = level * scale;
      });
    }
    return weights;
  }
}
