"""What a reader waits for in the built book: ``python -m benchmarks.page``, after ``make book``.

In a headless Chromium, from disk: the training lab of chapter 12 as it opens (196-64-2, batches of
64), at full speed, and the derivation desk of chapter 3. Measured are

- milliseconds a step, over 1,000 steps at full speed (what the page does besides counts, too);
- the longest frame of ten seconds of training, and the frames over 50 ms;
- the memory of the page's process after 2,000 steps and after 20,000;
- seconds from the click to the desk's first verdict, with Python loaded, and to a later one.

The last run of each kind of machine stays in ``benchmarks/results/page.json``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from playwright import sync_api

from benchmarks import report

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "_build" / "html" / "notebooks"
PATH = report.RESULTS / "page.json"
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
LAB = "document.querySelector('.vae-static[data-widget=training_lab]')"
DESK = ".vae-static[data-widget=derivation_desk]"
MOUNTED = "(chosen) => document.querySelector(`${chosen} > div`)?.__vae"
# Frames while it trains: the times between two of them, in milliseconds.
FRAMES = """(milliseconds) => new Promise((done) => {
  const gaps = [];
  const began = performance.now();
  let last = began;
  requestAnimationFrame(function frame(now) {
    gaps.push(now - last);
    last = now;
    if (now - began < milliseconds) requestAnimationFrame(frame); else done(gaps.slice(1));
  });
})"""


def opened(browser: Any, name: str, chosen: str) -> Any:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(next(BOOK.glob(f"{name}_*.html")).as_uri())
    page.evaluate("() => window.MathJax?.startup?.promise")
    page.locator(chosen).scroll_into_view_if_needed()
    page.wait_for_function(MOUNTED, arg=chosen)
    page.wait_for_timeout(2000)
    return page


def reached(page: Any, step: int) -> None:
    """Ask the lab for a step, as a reader's Python does, and wait for it."""
    page.evaluate(f"(n) => {LAB}.__model.set('step', n)", step)
    done = f"(n) => {{ const lab = {LAB}.querySelector(':scope > div').__vae.state(); "
    page.wait_for_function(done + "return !lab.running && lab.step === n; }", arg=step, timeout=0)


def renderer_mb(browser: Any) -> int:
    """The resident memory of the largest of the pages' processes, in MB."""
    session = browser.new_browser_cdp_session()
    sizes = []
    for process in session.send("SystemInfo.getProcessInfo")["processInfo"]:
        if process["type"] == "renderer":
            status = Path(f"/proc/{process['id']}/status").read_text("utf-8")
            found = re.search(r"VmRSS:\s+(\d+) kB", status)
            sizes.append(int(found[1]) * 1024 / 1e6 if found else 0)
    return round(max(sizes))


def lab(browser: Any) -> dict[str, Any]:
    page = opened(browser, "12", ".vae-static[data-widget=training_lab]")
    reached(page, 200)
    began = time.monotonic()
    reached(page, 1200)
    a_step = (time.monotonic() - began) / 1000 * 1e3
    reached(page, 2000)
    early = renderer_mb(browser)
    page.get_by_role("button", name="Play", exact=True).first.click()
    gaps = page.evaluate(FRAMES, 10_000)
    page.get_by_role("button", name="Pause", exact=True).first.click()
    page.wait_for_timeout(500)
    reached(page, 20_000)
    late = renderer_mb(browser)
    page.close()
    return {
        "ms a step": round(a_step, 2),
        "longest frame, ms": round(max(gaps)),
        "frames over 50 ms": sum(gap > 50 for gap in gaps),
        "frames": len(gaps),
        "MB after 2,000 steps": early,
        "MB after 20,000 steps": late,
    }


def desk(browser: Any) -> dict[str, Any]:
    page = opened(browser, "03", DESK)
    waits = []
    for _ in range(2):
        before = page.evaluate(f"document.querySelector('{DESK} > div').__vae.state().verdict")
        began = time.monotonic()
        page.locator(f"{DESK} .vw-check-all").click()
        if not before:
            page.wait_for_function(
                f"() => document.querySelector('{DESK} > div').__vae.state().verdict !== ''",
                timeout=120_000,
            )
        waits.append(round(time.monotonic() - began, 1))
        page.reload()
        page.wait_for_function(MOUNTED, arg=DESK)
        page.wait_for_timeout(2000)
    page.close()
    return {"s to the first verdict": waits[0], "s after a reload": waits[1]}


def main() -> int:
    if not BOOK.is_dir():
        print("the book is not built: make book", file=sys.stderr)
        return 1
    facts = report.machine()
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        facts["browser"] = f"Chromium {browser.version}"
        measured = {"lab": lab(browser), "desk": desk(browser)}
        browser.close()
    known = json.loads(PATH.read_text("utf-8")) if PATH.is_file() else {}
    known[report.kind(facts)] = {**measured, "machine": facts}
    PATH.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")
    print(json.dumps(measured, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
