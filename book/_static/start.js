// Runs before anything of the page is shown, in every page.

// The theme's own script decides between light and dark only once the whole page has been read; until
// then a page would be light, and ask for the pictures that are drawn for it.
if (document.documentElement.dataset.theme === "auto") {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

// A widget's still picture stands in the page; where scripts run, the widget takes its place.
document.documentElement.dataset.scripts = "";
addEventListener("load", () => {
  // Whatever was refused or missing: a widget that no script has taken up shows its picture.
  document.querySelectorAll(".vae-static:not([data-mounted])").forEach((widget) => {
    widget.dataset.failed = "";
  });
});

// A browser refuses font files to a page that is opened from disk: there the icons come within a sheet.
if (location.protocol === "file:") {
  document.querySelectorAll("link[data-disk]").forEach((link) => {
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = link.dataset.disk;
    link.replaceWith(sheet);
  });
}

// A host's Content-Security-Policy may refuse the style elements and style attributes that scripts
// write (MathJax does), but not what scripts say to the style itself: here the one becomes the other.
if ("replaceSync" in (globalThis.CSSStyleSheet?.prototype ?? {}) && document.adoptedStyleSheets) {
  const { setAttribute } = Element.prototype;
  Element.prototype.setAttribute = function (name, value) {
    if (name === "style" && this.style) this.style.cssText = value;
    else setAttribute.call(this, name, value);
  };
  const adopt = (style) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style.textContent);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  };
  for (const [{ prototype }, name] of [[Node, "appendChild"], [Element, "append"]]) {
    const put = prototype[name];
    prototype[name] = function (...children) {
      if (children[0]?.nodeName !== "STYLE" || this.getRootNode() !== document) return put.apply(this, children);
      adopt(children[0]);
      return children[0];
    };
  }
}
