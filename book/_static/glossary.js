// A term's definition as a card: on hover, on focus, on the first tap. Escape closes it.
(() => {
  const card = document.createElement("div");
  card.className = "vae-card";
  card.id = "vae-card";
  card.setAttribute("role", "tooltip");
  card.hidden = true;
  document.body.append(card);
  let shown = null;

  function hide() {
    shown?.removeAttribute("aria-describedby");
    shown = null;
    card.hidden = true;
  }

  function show(link) {
    hide();
    shown = link;
    card.textContent = link.dataset.card;
    card.hidden = false;
    link.setAttribute("aria-describedby", card.id);
    const at = link.getClientRects()[0] ?? link.getBoundingClientRect();
    const left = Math.min(at.left, document.documentElement.clientWidth - card.offsetWidth - 8);
    const above = at.bottom + card.offsetHeight + 12 > window.innerHeight;
    card.style.left = `${Math.max(8, left) + window.scrollX}px`;
    card.style.top = `${(above ? at.top - card.offsetHeight - 6 : at.bottom + 6) + window.scrollY}px`;
  }

  for (const link of document.querySelectorAll("a.vae-term")) {
    link.dataset.card = link.title;
    link.removeAttribute("title"); // the browser would show it a second time
    let touched = false;
    link.addEventListener("pointerenter", (event) => event.pointerType !== "touch" && show(link));
    link.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "touch" && event.relatedTarget !== card) hide();
    });
    link.addEventListener("pointerdown", (event) => {
      touched = event.pointerType === "touch" && shown !== link;
    });
    link.addEventListener("focus", () => show(link));
    link.addEventListener("blur", hide);
    link.addEventListener("click", (event) => {
      if (!touched) return;
      event.preventDefault(); // the second tap follows the link
      touched = false;
      show(link);
    });
  }
  card.addEventListener("pointerleave", hide);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  document.addEventListener("pointerdown", (event) => {
    if (shown && !card.contains(event.target) && !event.target.closest("a.vae-term")) hide();
  });
})();
