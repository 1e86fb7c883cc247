// The register of claims: a field that shows the claims with all the words typed into it.

for (const register of document.querySelectorAll(".vae-claims-register")) {
  const chapters = [...register.querySelectorAll("details")].map((box) => ({
    box,
    claims: [...box.querySelectorAll("li")].map((item) => ({ item, text: item.textContent.toLowerCase() })),
  }));
  const all = chapters.reduce((sum, { claims }) => sum + claims.length, 0);

  const search = document.createElement("div");
  search.className = "vae-claims-search d-print-none";
  const label = document.createElement("label");
  label.textContent = "Show claims with the words";
  const field = document.createElement("input");
  field.type = "search";
  field.id = "vae-claims-words";
  label.htmlFor = field.id;
  const told = document.createElement("span");
  told.setAttribute("role", "status");
  search.append(label, field, told);
  register.prepend(search);

  const show = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { box, claims } of chapters) {
      let here = 0;
      for (const { item, text } of claims) {
        const fits = words.every((word) => text.includes(word));
        item.hidden = !fits;
        here += fits;
      }
      // Without words every chapter is there, closed; with words, those that have some, open.
      box.hidden = words.length > 0 && here === 0;
      box.open = words.length > 0 && here > 0;
      shown += here;
    }
    told.textContent = words.length ? `${shown} of ${all}` : `${all} claims`;
  };
  field.addEventListener("input", show);
  show();
  // A chapter's page leads to the claims of that chapter.
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (target && register.contains(target)) {
    target.closest("details").open = true;
    target.closest("details").scrollIntoView();
  }
}
