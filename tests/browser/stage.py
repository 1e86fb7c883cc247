"""One widget on a page of its own: written, opened, read, and rendered as a kernel would."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from visit import Visit

from vae_core.widgets._base import BrowserWidget, bundle

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>widget</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root {{ color-scheme: light dark }} body {{ margin: 8px }}</style><body>{}</body></html>"""
STATIC = "document.querySelector('.vae-static > div')"
MODEL = "document.querySelector('.vae-static').__model"
Open = Callable[..., Visit]


def written(folder: Path, body: str) -> Path:
    """A page with ``body`` in ``folder``, as a file."""
    path = folder / "page.html"
    path.write_text(PAGE.format(body), encoding="utf-8")
    return path


def ready(visit: Visit) -> Visit:
    """Wait for the static widget; the page's ``vae`` is then its handle."""
    visit.page.wait_for_function(f"{STATIC}?.__vae")
    visit.page.evaluate(f"window.vae = {STATIC}.__vae")
    return visit


def settle(visit: Visit) -> None:
    """Wait until what changed is drawn."""
    frame = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    visit.page.evaluate(frame)


def state(visit: Visit) -> dict[str, Any]:
    """What the widget says it shows."""
    found = visit.page.evaluate("vae.state()")
    assert isinstance(found, dict)
    return found


def put(visit: Visit, **traits: Any) -> dict[str, Any]:
    """Set traits as Python would, and read what the page then shows."""
    for name, value in traits.items():
        visit.page.evaluate(f"([n, v]) => {MODEL}.set(n, v)", [name, value])
    return state(visit)


def middle(visit: Visit, label: str) -> tuple[float, float]:
    """The middle of the handle with this label, in the window."""
    handle = visit.page.get_by_role("slider", name=label, exact=True)
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def rendered_live(widget: BrowserWidget, folder: Path, open_page: Open) -> Visit:
    """As a kernel serves it: the module is imported and its blobs arrive as DataViews."""
    visit = open_page(written(folder, '<div id="here"></div>'))
    traits = {name: getattr(widget, name) for name in (*widget.STATE, "payload", "share")}
    blobs = {sha: base64.b64encode(blob).decode() for sha, blob in widget.blobs.items()}
    visit.page.evaluate(
        """async ([source, traits, blobs]) => {
            const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
            const module = await import(address);
            traits.blobs = Object.fromEntries(Object.entries(blobs).map(([sha, text]) => {
                const bytes = Uint8Array.from("pad" + atob(text), (c) => c.charCodeAt(0));
                return [sha, new DataView(bytes.buffer, 3)];
            }));
            const model = {
                get: (name) => traits[name], set: (name, value) => { traits[name] = value; },
                save_changes: () => { window.saved = (window.saved ?? 0) + 1; },
                on() {}, off() {},
            };
            window.el = document.getElementById("here");
            window.close = await module.default.render({ model, el });
        }""",
        [bundle(widget.NAME), traits, blobs],
    )
    return visit


def saves_and_closes(visit: Visit) -> None:
    """What was done in the live widget reaches Python, and closing leaves nothing behind."""
    visit.page.wait_for_function("window.saved > 0")
    visit.page.evaluate("window.close()")
    assert visit.page.evaluate("el.childElementCount") == 0
    visit.check()
