// What the page's Python consists of: the build puts Pyodide's two modules in the places named below.
// The file is one function. From a server it is a Worker by itself; from disk, where no Worker may be
// made from a file, the page makes one from the function's text; where none can be made, it calls it.

(globalThis.vaePython ??= { files: {} }).run = function (port) {
  "use strict";
  const answers = new Map(); // Pyodide asks for its files by address: here they are
  const here = "python:/";
  const location = here;
  const fetch = async (address) => {
    const found = answers.get(String(address).split("/").pop());
    if (!found) throw new Error(`${address} is not part of this page`);
    return new Response(found.bytes, { headers: { "Content-Type": found.type } });
  };

  const unpack = async (bytes) => {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };

  let desk = null;

  async function start({ wasm, library, own }) {
    // Where a policy forbids WebAssembly, Pyodide would wait for ever: the smallest module tells.
    new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
    // Pyodide refuses a Worker that is no module because it can't import; this one need not.
    if (typeof importScripts === "function") globalThis.importScripts = undefined;
    const [binary, ...archives] = await Promise.all([wasm, library, own].map(unpack));
    port.postMessage({ stage: "unpacked" });
    answers.set("pyodide.asm.wasm", { bytes: binary, type: "application/wasm" });
    answers.set("python_stdlib.zip", { bytes: archives[0], type: "application/zip" });
    const createPyodideModule = (() => { /* ASM */ })();
    const loadPyodide = (() => { /* PYODIDE */ })();
    const python = await loadPyodide({
      indexURL: here,
      createPyodideModule,
      packageBaseUrl: here,
      lockFileContents: { /* LOCK */ },
      stdin: () => null,
      stdout: () => {},
      stderr: () => {},
    });
    port.postMessage({ stage: "started" });
    python.FS.writeFile("/lib/own.zip", archives[1]);
    python.runPython("import sys\nsys.path.insert(0, '/lib/own.zip')");
    desk = python.pyimport("vae_core.symbolic.desk");
    port.postMessage({ stage: "ready" });
  }

  port.onmessage = async ({ data }) => {
    try {
      if (data.start) await start(data.start);
      else port.postMessage({ id: data.id, answer: desk.answer(data.request) });
    } catch (error) {
      port.postMessage({ id: data.id, failed: String(error?.message ?? error).trim().split("\n").pop() });
    }
  };
};
if (typeof document === "undefined") globalThis.vaePython.run(globalThis);
