// The training lab's settings: what there is to choose, what each fault does, and what is let in.

// [key, name, what the program does wrong, what to watch]
const LAB_FAULTS = [
  ["printed-kl", "tutorial’s KL", "The KL is σ² + μ² − log σ − ½ in place of ½(σ² + μ² − 1) − log σ.",
    "Watch the codes settle nearer the origin, with smaller ellipses, while the ELBO ends only a little lower: nothing looks broken."],
  ["kl-sign", "KL’s sign", "The KL is subtracted from the loss instead of added.",
    "Watch the codes fly off, ever faster, while the loss as printed falls without end and looks like progress."],
  ["mean-over-pixels", "mean over pixels", "log P(X|z) is averaged over the pixels instead of summed.",
    "Watch the KL of digits go to 0 within fifty steps: all codes gather at the origin, and the whole plane decodes to one blur. (Points have two coordinates, and half a sum breaks less.)"],
  ["variance-as-sigma", "log variance as log σ", "The KL takes the encoder’s output for log σ², the draw takes it for log σ.",
    "Watch the ellipses, which come out about half as wide, and the KL, which ends higher, while the loss as printed ends lower than the right program’s."],
  ["no-noise", "no noise", "z is the mean itself: ε is left out.",
    "Watch σ go to 1, since nothing suffers from it: the loss as printed gets lower than the right program’s, while the ELBO, which draws z, gets worse and worse."],
  ["shared-noise", "one ε for the batch", "Every example of a batch is drawn with the same ε.",
    "Watch the loss as printed jump more from step to step, and the ELBO climb a little more slowly: unlucky draws no longer average out."],
  ["stopped", "no gradient through z", "z counts as a constant: no gradient of log P(X|z) reaches the encoder.",
    "Watch the KL go to 0: the encoder hears of the KL alone and makes every Q the prior, so that the decoder learns one blur for all."],
  ["no-link", "output without its link", "The decoder’s output is taken as it is, without the sigmoid.",
    "With Bernoulli pixels the loss is no number at the very first step. With Gaussian pixels hardly anything shows, though the means may now leave [0, 1]."],
];

const LAB_DATA = [["digits", "digits"], ["ring", "ring"], ["moons", "two moons"], ["five", "five Gaussians"], ["drawn", "draw your own"]];
const labNumbers = (...values) => values.map((v) => [v, String(v)]);
// [setting, name, choices as [value, text], what it is]
const LAB_CONTROLS = [
  ["model", "model", [["VAE", "VAE"], ["AE", "AE"]], "With a posterior and a KL, or without"],
  ["likelihood", "likelihood", [["bernoulli", "Bernoulli"], ["gaussian", "Gaussian"]], "What the decoder’s output means"],
  ["sigma", "pixel σ", [...labNumbers(0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1), ["learned", "learned"], ["optimal", "optimal"]], "Standard deviation of a pixel about its mean"],
  ["beta", "β", labNumbers(0, 0.1, 0.25, 0.5, 1, 2, 4, 10, 20), "Factor of the KL in the loss"],
  ["estimator", "gradient", [["path-wise", "path-wise"], ["score-function", "score function"], ["score-function with a baseline", "score f. + baseline"], ["stopped", "sample, no gradient"]], "How log P(X|z) reaches the encoder"],
  ["hidden", "width", [[[16], "16"], [[32], "32"], [[64], "64"], [[128], "128"], [[32, 32], "32, 32"], [[64, 32], "64, 32"]], "Units of the encoder’s hidden layers; the decoder mirrors them"],
  ["latents", "latents", labNumbers(2, 3, 4, 8), "How many numbers z has"],
  ["activation", "activation", [["relu", "ReLU"], ["tanh", "tanh"], ["silu", "SiLU"]], "Between two layers"],
  ["rate", "learning rate", labNumbers(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1), "Adam’s step"],
  ["batch", "batch", labNumbers(8, 16, 32, 64, 128), "Examples in a step"],
];
const LAB_SPEEDS = [[1, "1 step a second"], [10, "10 steps a second"], [100, "100 steps a second"], [0, "full speed"]];
// A change of these needs new weights: every run starts anew.
const LAB_STRUCTURE = ["data", "points", "model", "hidden", "latents", "activation", "likelihood", "sigma", "seed"];
const LAB_COMMON = ["data", "points", "seed"]; // the same for all runs
const LAB_PLANAR = ["ring", "moons", "five", "drawn"];
const LAB_PLANE_REACH = 2.5, LAB_MOST_POINTS = 300, LAB_RUNS = 3;

const labSame = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// The settings that make sense out of any values at all; the rest as in `base`.
function labSettings(values, base, own = false) {
  const whole = (low, high) => (v) => Number.isInteger(v) && v >= low && v <= high;
  const within = (low, high) => (v) => typeof v === "number" && v >= low && v <= high;
  const one = (...names) => (v) => names.includes(v);
  const list = (most, fits) => (v) => Array.isArray(v) && v.length <= most && v.every(fits);
  const place = within(-LAB_PLANE_REACH, LAB_PLANE_REACH), names = LAB_FAULTS.map(([key]) => key);
  const fits = {
    data: own ? one("own") : one(...LAB_DATA.map(([key]) => key)),
    points: list(LAB_MOST_POINTS, (p) => Array.isArray(p) && p.length === 2 && p.every(place)),
    model: one("VAE", "AE"), hidden: list(3, whole(1, 1024)), latents: whole(2, 16),
    activation: one("relu", "tanh", "silu", "softplus", "identity"), likelihood: one("bernoulli", "gaussian"),
    sigma: (v) => v === "learned" || v === "optimal" || within(0.01, 10)(v),
    estimator: one("path-wise", "score-function", "score-function with a baseline", "stopped"),
    beta: within(0, 100), rate: within(1e-6, 1), batch: whole(1, 512), seed: whole(0, 2 ** 31 - 1), faults: list(names.length, one(...names)),
  };
  const found = { ...base };
  for (const [name, check] of Object.entries(fits)) if (values && Object.hasOwn(values, name) && check(values[name])) found[name] = values[name];
  if (LAB_PLANAR.includes(found.data)) found.likelihood = "gaussian";
  return found;
}

// What `own` has that `base` has not.
const labChange = (own, base) => Object.fromEntries(Object.entries(own).filter(([name, value]) => !LAB_COMMON.includes(name) && !labSame(value, base[name])));

// A run's change in words: "β 4", "tutorial’s KL".
function labWords(change) {
  return Object.entries(change).flatMap(([name, value]) => {
    if (name === "faults") return value.length ? value.map((key) => LAB_FAULTS.find(([k]) => k === key)[1]) : ["no fault"];
    const control = LAB_CONTROLS.find(([key]) => key === name);
    const text = control?.[2].find(([v]) => labSame(v, value))?.[1] ?? String(value);
    return [name === "model" || name === "estimator" || name === "likelihood" ? text : `${control?.[1] ?? name} ${text}`];
  }).join(", ");
}

// Why a loss came out as no number.
function labCause(settings) {
  if (settings.faults.includes("no-link") && settings.likelihood === "bernoulli") {
    return "The decoder’s output is used as a probability without its sigmoid, and the logarithm of a negative number is no number.";
  }
  if (settings.faults.includes("kl-sign")) return "With its sign reversed the KL pays for ever larger codes, until they are larger than any number.";
  if (settings.rate >= 0.03) return `A learning rate of ${settings.rate} is probably too high: one step overshoots the next, until an exponential is larger than any number.`;
  if (settings.estimator.startsWith("score-function")) return "The score function’s gradients are probably too noisy for this learning rate: one of them threw log σ far off.";
  return "Probably one step threw log σ so far off that its exponential is larger than any number; a lower learning rate avoids that.";
}

// A labelled choice; show(value) sets it, and adds a value that is not among the options.
function labSelect(parent, name, options, value, onChange, title = "") {
  const row = node("label", { className: "vw-lab-field", title }, parent);
  node("span", { textContent: name }, row);
  const box = node("select", { "aria-label": name }, row);
  const values = options.map(([v]) => v);
  options.forEach(([, text]) => node("option", { textContent: text }, box));
  box.addEventListener("change", () => onChange(values[box.selectedIndex]));
  const show = (v) => {
    let at = values.findIndex((other) => labSame(other, v));
    if (at < 0) { at = values.push(v) - 1; node("option", { textContent: Array.isArray(v) ? v.join(", ") : String(v) }, box); }
    box.selectedIndex = at;
  };
  show(value);
  return { row, box, show };
}

// The curves as JSON has them: what is no number is null.
function labHistory(frame) {
  const clean = (values) => values.map((v) => (Array.isArray(v) ? clean(v) : Number.isFinite(v) ? v : null));
  const runs = frame?.runs ?? [];
  return { steps: frame?.steps ?? [], runs: runs.map(({ history }) => Object.fromEntries(Object.entries(history).map(([name, values]) => [name, clean(values)]))) };
}
