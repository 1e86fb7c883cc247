// node pack.mjs PYODIDE JOB: compile Python sources with the Python that the page will run.
// JOB is JSON: {"roots": [[folder, [package, ...]], ...], "standard": true, "skip": [...], "output": file}
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [, script, pyodide, given] = process.argv;
const job = JSON.parse(given);
const { loadPyodide } = await import(pathToFileURL(path.join(pyodide, "pyodide.mjs")).href);
const python = await loadPyodide({ indexURL: pyodide });
const jobs = job.roots.map(([root, parts], index) => {
  const place = `/given${index}`;
  python.FS.mkdirTree(place);
  python.FS.mount(python.FS.filesystems.NODEFS, { root }, place);
  return [place, parts];
});
if (job.standard) jobs.unshift([python.runPython("import sys; next(p for p in sys.path if p.endswith('.zip'))"), []]);
python.runPython(readFileSync(path.join(path.dirname(script), "pack.py"), "utf8"));
const bytes = python.globals.get("pack")(python.toPy(jobs), python.toPy(job.skip)).toJs();
writeFileSync(job.output, bytes);
process.exit(0);
