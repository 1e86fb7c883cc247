// Python for a widget: the notebook's kernel where there is one, else the page's own (Pyodide in a
// Worker), which is loaded when it is asked for. A page that has one names its files in its head.

class KernelPython {
  constructor(model) {
    Object.assign(this, { model, waiting: new Map(), count: 0, megabytes: 0, canStop: false });
    this.listener = (message) => {
      const { id, answer, failed } = message ?? {}, found = this.waiting.get(id);
      if (!found) return;
      this.waiting.delete(id);
      if (failed) found.reject(new Error(failed));
      else found.resolve(JSON.parse(answer));
    };
    model.on("msg:custom", this.listener);
  }
  get ready() { return true; }
  load() { return Promise.resolve(); }
  ask(question) {
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.model.send({ id, request: JSON.stringify(question) });
    });
  }
  close() { this.model.off("msg:custom", this.listener); }
}

class StoppedByReader extends Error {}

// One for the whole page, whichever widget asks first.
class PagePython {
  constructor(named) {
    this.root = named.getAttribute("content");
    this.files = named.dataset.files.split(" ");
    this.megabytes = Number(named.dataset.megabytes);
    Object.assign(this, { loading: null, ready: false, port: null, waiting: new Map(), count: 0, canStop: true, stage: "" });
  }

  // onStage(text) hears how far it is.
  load(onStage = () => {}) {
    this.onStage = onStage;
    this.loading ??= this.start().catch((error) => {
      this.loading = null;
      throw error;
    });
    return this.loading;
  }

  async start() {
    const [worker] = this.files.filter((name) => name.startsWith("worker-"));
    const data = this.files.filter((name) => name !== worker);
    const fromDisk = location.protocol === "file:";
    let done = 0;
    const fetched = [...data, ...(fromDisk ? [worker] : [])];
    for (const name of globalThis.vaePython?.files?.whole ? [] : fetched) {
      await this.script(name);
      done++;
      this.onStage(`Loading Python: ${Math.round((done / fetched.length) * this.megabytes)} of ${Math.round(this.megabytes)} MB`);
    }
    if (!vaePython.files.whole) {
      vaePython.files.whole = Object.fromEntries(["wasm", "library", "own"].map((part) => [part, bytesOfBase64(vaePython.files[part].join(""))]));
      for (const part of ["wasm", "library", "own"]) delete vaePython.files[part];
    }
    this.onStage("Starting Python…");
    try {
      await this.open(this.workerPort(worker, fromDisk));
    } catch (error) {
      if (!(error instanceof NoWorker)) throw error;
      if (!vaePython.run) await this.script(worker);
      this.canStop = false;
      await this.open(pagePort()); // the page stands still while it works
    }
  }

  script(name) {
    return new Promise((resolve, reject) => {
      const element = node("script", { src: this.root + name }, document.head);
      element.onload = () => { element.remove(); resolve(); };
      element.onerror = () => { element.remove(); reject(new Error("A part of Python could not be loaded: the folder of the book is not whole, or the network is gone.")); };
    });
  }

  workerPort(name, fromDisk) {
    try {
      if (!fromDisk) return new Worker(this.root + name);
      const text = `const vaePython = { run: ${vaePython.run} };\nvaePython.run(globalThis);`;
      const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
      const worker = new Worker(address);
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
      return worker;
    } catch {
      throw new NoWorker();
    }
  }

  // Resolves once Python has started behind `port`.
  open(port) {
    this.port = port;
    return new Promise((resolve, reject) => {
      let heard = false;
      this.refuse = reject;
      port.onerror = (event) => {
        event.preventDefault?.();
        if (heard) this.ended(event.message);
        reject(heard ? new Error(event.message || "Python ended.") : new NoWorker());
      };
      port.onmessage = ({ data }) => {
        heard = true;
        if (data.stage === "started") this.onStage("Loading SymPy…");
        if (data.stage === "ready") { this.ready = true; resolve(); }
        if (data.stage) return;
        if (data.id === undefined) { reject(new Error(startFault(data.failed))); return; }
        const found = this.waiting.get(data.id);
        this.waiting.delete(data.id);
        if (data.failed) found?.reject(new Error(data.failed));
        else found?.resolve(JSON.parse(data.answer));
        if (/\bfatal/i.test(data.failed)) this.ended(data.failed); // such a Python answers nothing more
      };
      port.postMessage({ start: vaePython.files.whole });
    });
  }

  async ask(question) {
    await this.load(this.onStage);
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.port.postMessage({ id, request: JSON.stringify(question) });
    });
  }

  // Python is gone: the next question starts it anew.
  ended(text) {
    this.port.terminate?.();
    this.ready = false;
    this.loading = null;
    const left = [...this.waiting.values()];
    this.waiting.clear();
    left.forEach(({ reject }) => reject(new Error(text || "Python ended. Press Check to start it again.")));
  }

  // Ends what is being worked out; Python then starts anew, from what is already here.
  stop() {
    if (!this.canStop || !this.port) return;
    this.port.terminate();
    this.ready = false;
    const left = [...this.waiting.values()];
    this.waiting.clear();
    this.refuse?.(new StoppedByReader());
    left.forEach(({ reject }) => reject(new StoppedByReader()));
    this.loading = null;
    this.load().catch(() => {});
  }
  close() {}
}

class NoWorker extends Error {}

const startFault = (text) => (/wasm|WebAssembly|CompileError|unsafe-eval|Content Security/i.test(text)
  ? "This server’s Content-Security-Policy keeps WebAssembly from running, which Python needs: see the page on hosting."
  : `Python did not start: ${text}`);

function bytesOfBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

// The page's own thread, as a port.
function pagePort() {
  const { port1, port2 } = new MessageChannel();
  vaePython.run(port1);
  return port2;
}

// The kernel, the page's Python, or null where there is neither.
function pythonFor(model) {
  if (typeof model.send === "function") return new KernelPython(model);
  const named = document.querySelector('meta[name="vae-python"]');
  return named ? (globalThis.vaePagePython ??= new PagePython(named)) : null;
}
