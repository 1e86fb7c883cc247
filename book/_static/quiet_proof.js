// The marks of proofs: shown by hover, focus or tap, kept open by a click. Escape closes.
(() => {
  const OPEN_AFTER = 150, CLOSE_AFTER = 300;
  const kept = new Set(); // opened on purpose
  let timer = 0, given = false; // a focus that this script gives shows nothing

  const unfolded = (mark) => mark.querySelector(".vae-proof-code[open]") !== null;

  function close(mark) {
    mark.open = false;
    kept.delete(mark);
  }

  // Whose code is unfolded stands in the text, and stays.
  function closeOthers(mine) {
    for (const other of document.querySelectorAll(".vae-proof[open]")) {
      if (other !== mine && !unfolded(other)) close(other);
    }
  }

  function show(mark) {
    clearTimeout(timer);
    closeOthers(mark);
    mark.open = true;
  }

  function leave(mark) {
    if (!kept.has(mark) && !unfolded(mark) && !mark.contains(document.activeElement)) close(mark);
  }

  // What the address leads to is opened: a claim in its mark, or code behind its word.
  function reveal() {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (!target) return;
    const mark = target.closest(".vae-proof");
    if (mark) {
      show(mark);
      kept.add(mark);
      mark.scrollIntoView({ block: "center" });
    } else if (target.matches(".vae-code")) {
      target.open = true;
      target.scrollIntoView({ block: "nearest" });
    }
  }

  for (const mark of document.querySelectorAll(".vae-proof")) {
    const sign = mark.querySelector("summary");
    const later = (act, wait) => (event) => {
      if (event.pointerType === "touch") return;
      clearTimeout(timer);
      timer = setTimeout(() => act(mark), wait);
    };
    sign.addEventListener("pointerenter", later(show, OPEN_AFTER));
    mark.addEventListener("pointerenter", (event) => {
      if (event.pointerType !== "touch" && mark.open) clearTimeout(timer);
    });
    mark.addEventListener("pointerleave", later(leave, CLOSE_AFTER));
    sign.addEventListener("click", (event) => {
      if (kept.has(mark)) kept.delete(mark); // the browser closes it
      else {
        kept.add(mark);
        clearTimeout(timer);
        if (mark.open) event.preventDefault(); // it was shown, and now stays
        else closeOthers(mark);
      }
    });
    sign.addEventListener("focus", () => !given && sign.matches(":focus-visible") && show(mark));
    mark.addEventListener("focusout", (event) => {
      if (event.relatedTarget && !mark.contains(event.relatedTarget) && !unfolded(mark)) close(mark);
    });
    for (const link of mark.querySelectorAll("a[href^='#']")) {
      link.addEventListener("click", () => {
        close(mark);
        setTimeout(reveal); // also where the address is that already
      });
    }
  }

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    clearTimeout(timer);
    for (const mark of document.querySelectorAll(".vae-proof[open]")) {
      given = mark.contains(document.activeElement);
      if (given) mark.querySelector("summary").focus();
      given = false;
      close(mark);
    }
  });
  document.addEventListener("pointerdown", (event) => {
    const mine = event.target.closest?.(".vae-proof") ?? null;
    if (mine === null) closeOthers(null);
  });
  addEventListener("hashchange", reveal);
  reveal();
})();
