// Who runs a session of training: a Worker made from the engine's own text, which works from disk
// too; where a browser or a page's policy allows none, slices on the page's own thread.

// What the Worker runs, around the session: one slice after another, messages in between.
function trainInWorker(session) {
  const { port1, port2 } = new MessageChannel();
  let asked = false, timer = 0;
  const next = () => { if (!asked) { asked = true; port2.postMessage(0); } };
  port1.onmessage = () => {
    asked = false;
    const wait = session.slice(24);
    clearTimeout(timer);
    if (wait === 0) next();
    else if (wait !== null) timer = setTimeout(next, wait);
  };
  return (event) => { session.receive(event.data); next(); };
}

class TrainHost {
  // heard(message): what the session posts. `slices` keeps it on the page's own thread.
  constructor(heard, { slices = false } = {}) {
    Object.assign(this, { heard, slices, worker: null, log: [], given: null });
    this.stay();
  }

  // The Worker comes with the first training: a page that is only read starts none. What was asked
  // for so far is asked of it again; every draw is a matter of the seed, so it gets to the same place.
  hire() {
    this.slices = true; // once is enough, whether it is let or not
    const text = `const session = (${trainSession})((${trainEngine})((${trainMath})()), (message) => postMessage(message));`
      + `onmessage = (${trainInWorker})(session); postMessage({ kind: "ready" });`;
    this.address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    try {
      this.worker = new Worker(this.address);
    } catch {
      return;
    }
    clearTimeout(this.timer);
    this.timer = undefined;
    this.session = null;
    let sure = false;
    this.worker.onmessage = ({ data }) => {
      sure = true;
      this.log = null;
      if (data.kind !== "ready") this.heard(data);
    };
    this.worker.onerror = (event) => {
      if (sure) throw new Error(`The training stopped: ${event.message}`);
      event.preventDefault();
      this.dismiss();
      this.stay();
      this.again((message) => this.session.receive(message));
      this.turn(0);
    };
    this.again((message) => this.worker.postMessage(message));
  }

  again(tell) { this.log?.forEach(tell); }

  dismiss() {
    this.worker?.terminate();
    this.worker = null;
    URL.revokeObjectURL(this.address);
  }

  stay() { this.session = trainSession(trainEngine(), (message) => this.heard(message)); }

  note(message) {
    if (!this.log || ["seen", "dissect", "weights"].includes(message.kind)) return;
    if (message.kind === "start") {
      this.given = message.given ?? this.given;
      this.log = [...this.log.filter(({ kind }) => kind === "speed").slice(-1), { ...message, given: this.given }];
    } else this.log.push(message);
  }

  send(message) {
    if (message.kind === "play" && message.on && !this.slices) this.hire();
    this.note(message);
    if (this.worker) this.worker.postMessage(message);
    else if (this.session) {
      this.session.receive(message);
      this.turn(0);
    }
  }

  turn(wait) {
    if (this.timer !== undefined) {
      if (wait > 0) return;
      clearTimeout(this.timer);
    }
    this.timer = setTimeout(() => {
      this.timer = undefined;
      const next = this.session?.slice(8) ?? null;
      if (next !== null) this.turn(next);
    }, wait);
  }

  close() {
    clearTimeout(this.timer);
    this.session = null;
    this.dismiss();
  }
}

// ---------------------------------------------------------------- what is trained on

const TRAIN_POINTS = 1000, TRAIN_HELD_OUT_POINTS = 300, TRAIN_LINE_WIDTH = 0.05;

// Greys and labels out of a blob: bits of "on", the greys that are on, the labels.
function unpackTrainDigits(buffer, { train, heldOut, pixels, on }) {
  const bytes = new Uint8Array(buffer), count = train + heldOut, cells = count * pixels;
  const greys = new Uint8Array(cells);
  let at = Math.ceil(cells / 8);
  for (let i = 0; i < cells; i++) if (bytes[i >> 3] & (128 >> (i & 7))) greys[i] = bytes[at++];
  return { greys, labels: bytes.slice(at, at + count), train, pixels, on };
}

// The digits as a likelihood takes them: greys in [0, 1], for Bernoulli 1 where above `on`.
function trainDigits({ greys, labels, train, pixels, on }, likelihood) {
  const values = Float64Array.from(greys, likelihood === "bernoulli" ? (g) => (g / 255 > on ? 1 : 0) : (g) => g / 255);
  return {
    pixels, link: "sigmoid", train: values.subarray(0, train * pixels), heldOut: values.subarray(train * pixels),
    labels: labels.subarray(train), greys: greys.subarray(train * pixels),
  };
}

// Points of the plane, as vae_core/widgets/_training_data.planar draws them.
function trainPlanar(name, seed, drawn) {
  const { Draws, STREAM } = trainMath(), draws = new Draws(seed, STREAM.data);
  const count = TRAIN_POINTS + TRAIN_HELD_OUT_POINTS, points = new Float64Array(2 * count), labels = new Uint8Array(count);
  const places = drawn.length ? drawn : [[0, 0]], turn = 2 * Math.PI;
  for (let i = 0; i < count; i++) {
    const c = draws.uniform(), t = draws.uniform(), g = [draws.normal(), draws.normal()];
    let x = 0, y = 0, label = 0, width = 0.08;
    if (name === "ring") {
      [x, y, label] = [1.2 * Math.cos(turn * t), 1.2 * Math.sin(turn * t), Math.floor(5 * t)];
    } else if (name === "moons") {
      const upper = c < 0.5, sign = upper ? 1 : -1, off = upper ? 0 : 1;
      [x, y, label] = [1.2 * (off + sign * Math.cos(Math.PI * t) - 0.5), 1.2 * (0.5 * off + sign * Math.sin(Math.PI * t) - 0.25), off];
    } else if (name === "five") {
      label = Math.floor(5 * c);
      const angle = turn * label / 5 + Math.PI / 2;
      [x, y, width] = [1.3 * Math.cos(angle), 1.3 * Math.sin(angle), 0.2];
    } else {
      [x, y] = places[Math.floor(places.length * c)];
      width = TRAIN_LINE_WIDTH;
    }
    points[2 * i] = x + width * g[0];
    points[2 * i + 1] = y + width * g[1];
    labels[i] = label;
  }
  return {
    pixels: 2, link: "identity", train: points.subarray(0, 2 * TRAIN_POINTS), heldOut: points.subarray(2 * TRAIN_POINTS),
    labels: labels.subarray(TRAIN_POINTS),
  };
}
