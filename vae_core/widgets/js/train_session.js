// A session of training: one to three runs in step with each other, in slices of work. It stands
// alone, as trainEngine does, and runs in a Worker or, where there is none, on the page's own thread.

function trainSession({ Trainer, Draws, STREAM }, post, now = () => performance.now()) {
  const MOST_RECORDS = 400; // then every second one is dropped: memory stays as it is
  const BETWEEN_FRAMES = 70; // ms
  const SCORED = 500; // training examples that the curve is of
  const GRID = 11, REACH = 3, LATTICE = 25; // decoded points a side, over [-REACH, REACH]

  let data = null, runs = [], playing = false, owed = 0, until = 0, perSecond = Infinity, chosen = 0, shown = [], serial = 0;
  let records = { every: 10, steps: [] }, work = null, waiting = false, last = -Infinity, nextStep = 0, stale = true;

  const step = () => runs[0]?.trainer.step ?? 0;
  const failed = () => runs.some(({ trainer }) => trainer.failed);

  function* scored(run, examples) {
    return yield* run.trainer.score(examples);
  }

  // Where the runs stand, every so many steps; the gaps grow with the length of the history.
  function* record() {
    const train = data.train.subarray(0, SCORED * data.pixels);
    const found = [];
    for (const run of runs) found.push([yield* scored(run, data.heldOut), yield* scored(run, train)]);
    records.steps.push(step());
    runs.forEach((run, i) => {
      const [out, inside] = found[i], total = (kl) => kl.reduce((a, b) => a + b, 0);
      run.kl = Array.from(out.kl);
      const row = { heldOut: out.reconstruction - total(out.kl), train: inside.reconstruction - total(inside.kl), reconstruction: out.reconstruction, kl: total(out.kl), loss: run.loss ?? NaN };
      for (const [name, value] of Object.entries(row)) run.history[name].push(value);
      run.history.perLatent.push(Array.from(out.kl));
    });
    if (records.steps.length > MOST_RECORDS) {
      const thin = (values) => values.filter((_, i) => i % 2 === 0);
      records.steps = thin(records.steps);
      for (const run of runs) for (const name of Object.keys(run.history)) run.history[name] = thin(run.history[name]);
      records.every *= 2;
    }
    stale = true;
  }

  const isDue = () => records.steps.at(-1) !== step() && (step() % records.every === 0 || failed());

  // The two latents that say most, in their order.
  function axesOf(run) {
    const { latents } = run.trainer.settings;
    if (latents === 2 || !run.kl) return [0, 1];
    return Array.from({ length: latents }, (_, k) => k).sort((a, b) => run.kl[b] - run.kl[a]).slice(0, 2).sort((a, b) => a - b);
  }

  function lattice(run, side, axes) {
    const { latents } = run.trainer.settings, z = new Float64Array(side * side * latents);
    for (let row = 0; row < side; row++) {
      for (let column = 0; column < side; column++) {
        const at = (row * side + column) * latents;
        z[at + axes[0]] = REACH * (2 * column / (side - 1) - 1);
        z[at + axes[1]] = REACH * (1 - 2 * row / (side - 1));
      }
    }
    return run.trainer.means(z);
  }

  function* look() {
    const frames = [];
    for (const run of runs) {
      const { trainer } = run, { latents } = trainer.settings, axes = axesOf(run), planar = data.pixels === 2;
      const { mean, logSigma } = yield* trainer.codes(data.heldOut);
      const grid = lattice(run, planar ? LATTICE : GRID, axes);
      yield null;
      const wanted = planar ? Array.from({ length: mean.length / latents }, (_, i) => i) : [...shown, chosen];
      const z = new Float64Array(wanted.length * latents);
      wanted.forEach((index, i) => z.set(mean.subarray(index * latents, (index + 1) * latents), i * latents));
      const pick = (values) => values && axes.map((axis) => values[chosen * latents + axis]);
      const codes = new Float32Array(2 * mean.length / latents);
      for (let i = 0; i < codes.length; i++) codes[i] = mean[(i >> 1) * latents + axes[i & 1]];
      frames.push({
        axes, codes, grid, reconstructions: trainer.means(z), centre: pick(mean), spread: pick(logSigma)?.map(Math.exp) ?? null,
        history: run.history, kl: run.kl, failed: trainer.failed ?? null, sigma: trainer.settings.likelihood === "gaussian" ? Math.sqrt(trainer.variance) : null,
        step: trainer.step,
      });
    }
    post({ kind: "frame", serial, step: step(), steps: records.steps, playing, runs: frames });
    waiting = true;
    stale = false;
    last = now();
  }

  function train() {
    for (const run of runs) {
      const terms = run.trainer.train();
      run.loss = terms.loss;
    }
    stale = true;
    if (owed) owed -= 1;
    if (failed() || (until && step() >= until)) {
      playing = false;
      owed = 0;
      until = 0;
    }
  }

  const wanted = () => (playing || owed > 0) && !failed();

  function* working() {
    for (;;) {
      if (!runs.length) return;
      if (isDue()) yield* record();
      if (stale && !waiting && (now() - last >= BETWEEN_FRAMES || !wanted())) yield* look();
      if (!wanted()) { if (stale && !waiting) continue; return; }
      if (owed || now() >= nextStep) {
        nextStep = Math.max(now(), nextStep) + 1000 / perSecond;
        train();
        yield null;
      } else yield "wait";
    }
  }

  function begin(settings, forks, weights) {
    const all = [settings, ...forks.map((change) => ({ ...settings, ...change }))];
    const blank = () => ({ heldOut: [], train: [], reconstruction: [], kl: [], loss: [], perLatent: [] });
    runs = all.map((own) => ({ trainer: new Trainer(own, data, weights), history: blank(), kl: null }));
    records = { every: 10, steps: [] };
    owed = 0;
    work = null;
    stale = true;
  }

  const handle = {
    // Runs at step 0. `given` is the data, unless it is what is there already.
    start({ settings, forks, given, weights, mark }) {
      if (given) data = given;
      serial = mark;
      playing = false;
      until = 0;
      begin(settings, forks, weights);
    },
    play({ on, to }) { playing = on && !failed(); until = to ?? 0; nextStep = now(); stale = true; },
    one() { if (!playing) owed += 1; },
    speed({ rate }) { perSecond = rate; nextStep = now(); },
    // A run beside the others that starts from where the first one is.
    fork({ settings }) {
      const [first] = runs;
      const history = Object.fromEntries(Object.entries(first.history).map(([name, values]) => [name, [...values]]));
      runs.push({ trainer: first.trainer.fork(settings), history, kl: first.kl, loss: first.loss });
      work = null;
      stale = true;
    },
    drop({ run }) { runs.splice(run, 1); work = null; stale = true; },
    // Settings that keep every tensor's shape: training goes on with them.
    change({ run, settings }) {
      runs[run].trainer.settings = settings;
      if (!playing) stale = true;
    },
    choose({ index, digits }) { chosen = index; shown = digits ?? shown; stale = true; },
    seen() { waiting = false; },
    dissect({ run, eps }) {
      const { trainer } = runs[run], { pixels } = data, x = data.heldOut.slice(chosen * pixels, (chosen + 1) * pixels);
      const noise = new Draws(trainer.settings.seed + eps, STREAM.scoring);
      work = null; // what was under way has lost its place in the trainer's room
      post({ kind: "dissection", serial, step: step(), ...trainer.dissect(x, Float64Array.from({ length: trainer.settings.latents }, () => noise.normal())) });
    },
    weights() { post({ kind: "weights", serial, step: step(), theta: runs[0].trainer.theta.slice(), names: runs[0].trainer.tensors }); },
  };

  return {
    receive(message) { handle[message.kind](message); },

    // Works for `budget` ms; gives how long to wait before more, or null when there is nothing to do.
    slice(budget) {
      const end = now() + budget;
      do {
        work ??= working();
        const { done, value } = work.next();
        if (done) { work = null; return null; }
        if (value === "wait") return Math.min(50, Math.max(1, nextStep - now()));
      } while (now() < end);
      return 0;
    },
  };
}
