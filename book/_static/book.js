// What the book adds to every page: order on paper, and keys for whatever scrolls.

// On paper nothing can be unfolded, and there is only the light theme.
const before = new Map();

addEventListener("beforeprint", () => {
  const { documentElement: root } = document;
  if (root.dataset.theme !== "light") {
    before.set(root, root.dataset.theme);
    root.dataset.theme = "light";
  }
  // Code that only draws a picture stays folded: the picture is there. A proof stays its mark.
  document.querySelectorAll(".bd-article details:not([open]):not(.vae-code, .vae-proof, .vae-proof-code)").forEach((details) => {
    before.set(details, null);
    details.open = true;
  });
});

addEventListener("afterprint", () => {
  for (const [element, theme] of before) {
    if (theme === null) element.open = false;
    else element.dataset.theme = theme;
  }
  before.clear();
});

// A box that scrolls sideways must take the focus, or keys could not move it. Which ones scroll
// depends on the window; formulas are drawn late.
const SCROLLS = ".bd-article :is(pre, div.math, mjx-container, .pst-scrollable-table-container, .vae-table, .vae-drawn, .cell_output, .text_html, .text_plain)";

// A formula within a sentence that is wider than the column takes a line of its own, and scrolls.
function fitFormulas() {
  for (const formula of document.querySelectorAll(".bd-article mjx-container:not([display])")) {
    const nearest = formula.closest("p, li, dd, dt, td, th, h1, h2, h3, legend, .feedback, label");
    const column = nearest?.closest(".vae-proved > p")?.parentElement ?? nearest; // it is inline there
    const drawn = formula.querySelector("svg");
    if (column && drawn) formula.classList.toggle("vae-wide", drawn.getBoundingClientRect().width > column.clientWidth);
  }
}

function reachByKeys() {
  fitFormulas();
  for (const box of document.querySelectorAll(SCROLLS)) {
    const wide = box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible";
    if (wide && box.tabIndex < 0) {
      box.tabIndex = 0;
      box.dataset.scrolls = "";
    } else if (!wide && "scrolls" in box.dataset) {
      box.removeAttribute("tabindex");
      delete box.dataset.scrolls;
    }
    showEdges(box, wide);
  }
}

// Beyond which edges a box goes on: figures.css lets it fade there, since phones show no scroll bar.
function showEdges(box, wide) {
  const hidden = wide ? box.scrollWidth - box.clientWidth : 0;
  const edges = [];
  if (hidden && box.scrollLeft > 1) edges.push("left");
  if (hidden && box.scrollLeft < hidden - 1) edges.push("right");
  if (edges.length) box.dataset.more = edges.join(" ");
  else delete box.dataset.more;
}

addEventListener("scroll", ({ target }) => {
  if (target.dataset && "more" in target.dataset) showEdges(target, true);
}, { capture: true, passive: true });

let waiting = 0;
function later() {
  clearTimeout(waiting);
  waiting = setTimeout(reachByKeys, 100);
}

addEventListener("resize", later);
addEventListener("load", () => {
  later();
  window.MathJax?.startup?.promise?.then(later);
});
