"""The training lab in a browser, from its static rendition alone."""

# ruff: noqa: E501 (JavaScript, a statement a line)
from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stage import MODEL, PAGE, ready, rendered_live, saves_and_closes, state, written
from visit import Visit

from vae_core.widgets import TrainingLab, _training_data
from vae_core.widgets._training_twin import Twin

Open = Callable[..., Visit]
# Small and quick: what is tried here does not hang on the size.
SMALL: dict[str, Any] = {"hidden": [8], "batch": 8}
PLANE: dict[str, Any] = {**SMALL, "data": "moons", "likelihood": "gaussian", "activation": "tanh"}


@pytest.fixture
def lab(tmp_path: Path, open_page: Open) -> Callable[..., Visit]:
    """``lab(page=..., before=..., **options)``: a page with a lab."""

    def show(page: dict[str, Any] | None = None, before: str = "", **options: Any) -> Visit:
        body = f"<script>{before}</script>" if before else ""
        path = written(tmp_path, body + TrainingLab(**options).to_html())
        return ready(open_page(path, **(page or {})))

    return show


def press(visit: Visit, name: str) -> None:
    visit.page.get_by_role("button", name=name, exact=True).first.click()


def trained(visit: Visit, step: int) -> dict[str, Any]:
    """Train to a step, as Python would ask for, and wait until that is shown."""
    visit.page.evaluate(f"(n) => {MODEL}.set('step', n)", step)
    visit.page.wait_for_function(
        "(n) => !vae.lab.running && vae.state().step === n && vae.state().steps.at(-1) >= n - n % 10",
        arg=step,
    )
    return state(visit)


def told(visit: Visit) -> str:
    return str(visit.page.inner_text("section.vae-widget"))


def test_it_plays_pauses_steps_and_starts_anew(lab: Callable[..., Visit]) -> None:
    visit = lab(**SMALL)
    visit.page.wait_for_function("vae.state().steps.length === 1")
    first = state(visit)["runs"][0]["history"]["heldOut"][0]
    press(visit, "Play")
    visit.page.wait_for_function("vae.state().step >= 100")
    press(visit, "Pause")
    visit.page.wait_for_function(f"{MODEL}.get('weights')?.byteLength > 0")
    now = state(visit)
    assert now["runs"][0]["history"]["heldOut"][-1] > first + 20
    assert now["worker"]
    press(visit, "Step")
    visit.page.wait_for_function("(n) => vae.state().step === n", arg=now["step"] + 1)
    assert f"step {now['step'] + 1}" in told(visit)
    press(visit, "Reset")
    visit.page.wait_for_function("vae.state().steps.length === 1 && vae.state().step === 0")
    assert state(visit)["runs"][0]["history"]["heldOut"] == [first]
    visit.check()


def test_what_the_page_shows_is_pythons_run(lab: Callable[..., Visit]) -> None:
    """The curve of a run in the page, by its own draws, is that of the twin in PyTorch."""
    visit = lab(**SMALL, seed=4)
    now = trained(visit, 40)
    widget = TrainingLab(**SMALL, seed=4)
    digits = _training_data.digits()
    x, held_out = (
        _training_data.as_numbers(p, "bernoulli") for p in (digits.train, digits.held_out)
    )
    twin = Twin(widget.settings, x, digits.shape)
    history = now["runs"][0]["history"]
    for i, step in enumerate(now["steps"]):
        while twin.step < step:
            twin.train()
        for name, examples in (("heldOut", held_out), ("train", x[:500])):
            score = twin.score(examples)
            assert history[name][i] == pytest.approx(
                score.reconstruction - score.kl.sum(), rel=1e-6
            )
    assert now["steps"] == [0, 10, 20, 30, 40]
    # And its weights are what Python makes a model of.
    visit.page.wait_for_function(f"{MODEL}.get('weights')")
    found = visit.page.evaluate(
        f"(() => {{ const w = {MODEL}.get('weights'); return Array.from(new Uint8Array(w.buffer, w.byteOffset, w.byteLength)); }})()"
    )
    widget.weights = bytes(found)
    ours = np.concatenate([p.detach().flatten().numpy() for p in widget.model().parameters()])
    theirs = np.concatenate([p.detach().flatten().numpy() for p in twin.model.parameters()])
    assert ours == pytest.approx(theirs, abs=1e-6)
    visit.check()


def test_without_a_worker_it_trains_in_slices_to_the_same_numbers(
    lab: Callable[..., Visit], tmp_path: Path, open_page: Open
) -> None:
    inside = trained(lab(**PLANE), 60)
    visit = lab(**PLANE, before="globalThis.vaeTrainInSlices = true")
    sliced = trained(visit, 60)
    assert inside["worker"]
    assert not sliced["worker"]
    assert sliced["runs"][0]["history"] == inside["runs"][0]["history"]
    visit.check()
    # A page's policy may forbid the Worker: the slices take over.
    policy = '<meta http-equiv="Content-Security-Policy" content="worker-src \'none\'">'
    path = tmp_path / "strict.html"
    page = PAGE.format(TrainingLab(**PLANE).to_html()).replace("<title>", f"{policy}<title>")
    path.write_text(page, encoding="utf-8")
    strict = ready(open_page(path))
    assert trained(strict, 60)["runs"][0]["history"] == inside["runs"][0]["history"]
    assert not state(strict)["worker"]


def test_a_loss_that_is_no_number_stops_it_and_says_why(lab: Callable[..., Visit]) -> None:
    visit = lab(**SMALL)
    press(visit, "output without its link")
    press(visit, "Play")
    alert = visit.page.get_by_role("alert")
    visit.page.wait_for_function("vae.state().failure !== null")
    assert "stopped at step 1: its loss is not a number" in alert.inner_text()
    assert "logarithm of a negative number" in alert.inner_text()
    assert "NaN" not in told(visit)
    assert not state(visit)["running"]
    press(visit, "output without its link")
    alert.get_by_role("button", name="Reset").click()
    assert trained(visit, 20)["failure"] is None
    assert not alert.is_visible()
    visit.check()


def test_a_fork_shares_the_past_and_goes_its_own_way(lab: Callable[..., Visit]) -> None:
    visit = lab(**SMALL)
    before = trained(visit, 40)["runs"][0]["history"]["heldOut"]
    press(visit, "Fork: compare from here")
    visit.page.get_by_label("β", exact=True).select_option(label="10")
    assert state(visit)["forks"] == [{"beta": 10}]
    now = trained(visit, 80)
    one, two = (run["history"]["heldOut"] for run in now["runs"])
    assert one[: len(before)] == two[: len(before)] == before
    assert one[-1] != two[-1]
    assert now["runs"][1]["history"]["kl"][-1] < now["runs"][0]["history"]["kl"][-1]
    assert "B: β 10" in told(visit)
    visit.page.wait_for_function(f"JSON.stringify({MODEL}.get('forks')) === '[{{\"beta\":10}}]'")
    press(visit, "Fork: compare from here")
    assert visit.page.get_by_role("button", name="Fork: compare from here").is_disabled()
    visit.page.get_by_role("button", name="Remove run B").click()
    visit.page.get_by_role("button", name="Remove run B").click()
    assert trained(visit, 90)["forks"] == []
    visit.check()


def test_a_hidden_tab_pauses(lab: Callable[..., Visit]) -> None:
    visit = lab(**SMALL)
    press(visit, "Play")
    visit.page.wait_for_function("vae.state().step >= 20")
    hide = """(on) => {
        Object.defineProperty(document, "hidden", { configurable: true, get: () => on });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    visit.page.evaluate(hide, True)
    visit.page.wait_for_timeout(700)
    still = state(visit)["step"]
    visit.page.wait_for_timeout(700)
    assert state(visit)["step"] == still
    visit.page.evaluate(hide, False)
    visit.page.wait_for_function("(n) => vae.state().step > n", arg=still)
    visit.check()


def test_keys_do_what_buttons_do(lab: Callable[..., Visit]) -> None:
    visit = lab(**SMALL)
    visit.page.wait_for_function("vae.state().steps.length === 1")
    plane = visit.page.get_by_role("application", name="Latent plane of run A")
    plane.focus()
    visit.page.keyboard.press("s")
    visit.page.wait_for_function("vae.state().step === 1")
    chosen = state(visit)["chosen"]
    visit.page.keyboard.press("ArrowRight")
    assert state(visit)["chosen"] != chosen
    visit.page.keyboard.press(" ")
    visit.page.wait_for_function("vae.state().step > 10")
    visit.page.keyboard.press("p")
    assert not state(visit)["running"]
    visit.page.keyboard.press("r")
    visit.page.wait_for_function("vae.state().step === 0")
    visit.check()


def test_a_screen_reader_hears_something_at_most_every_two_seconds(
    lab: Callable[..., Visit],
) -> None:
    visit = lab(**SMALL)
    visit.page.evaluate(
        """() => {
            window.heard = [];
            const region = document.querySelector(".vw-sr");
            new MutationObserver(() => heard.push(performance.now())).observe(region, { childList: true, characterData: true, subtree: true });
        }"""
    )
    press(visit, "Play")
    for name in ("no noise", "tutorial’s KL", "no noise"):
        press(visit, name)
        visit.page.wait_for_timeout(300)
    visit.page.wait_for_function("heard.length >= 2")
    press(visit, "Pause")
    times = visit.page.evaluate("heard")
    assert min(b - a for a, b in itertools.pairwise(times)) >= 1900
    visit.check()


def test_points_drawn_by_mouse_and_keys_are_trained_on(lab: Callable[..., Visit]) -> None:
    visit = lab(**{**PLANE, "data": "drawn"})
    press(visit, "Play")
    assert "no points to train on yet" in visit.page.get_by_role("alert").inner_text()
    pen = visit.page.get_by_role("slider", name="Pen")
    pen.focus()
    for key in ("ArrowLeft", "Enter", "Shift+ArrowUp", "Enter"):
        visit.page.keyboard.press(key)
    assert len(state(visit)["settings"]["points"]) == 2
    visit.page.wait_for_function("vae.lab.data.heldOut[0] !== 0 && vae.state().steps.length === 1")
    box = visit.page.get_by_role("img", name="Data space").bounding_box()
    visit.page.mouse.move(box["x"] + 120, box["y"] + 60)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + 200, box["y"] + 90, steps=6)
    visit.page.mouse.up()
    points = len(state(visit)["settings"]["points"])
    assert points > 4
    visit.page.wait_for_function(f"(n) => {MODEL}.get('settings').points.length === n", arg=points)
    assert trained(visit, 40)["runs"][0]["history"]["heldOut"][-1] > -50
    press(visit, "Clear points")
    assert state(visit)["settings"]["points"] == []
    visit.check()


def test_twenty_thousand_steps_leave_the_history_short(lab: Callable[..., Visit]) -> None:
    visit = lab(**{**PLANE, "hidden": [4], "batch": 4})
    visit.page.evaluate(f"{MODEL}.set('step', 20000)")
    visit.page.wait_for_function("!vae.lab.running && vae.state().step === 20000", timeout=120_000)
    now = state(visit)
    assert 150 < len(now["steps"]) <= 400
    assert now["steps"][-1] == 20000
    assert {len(v) for v in now["runs"][0]["history"].values()} == {len(now["steps"])}
    visit.check()


def test_settings_from_python_and_hostile_ones(lab: Callable[..., Visit]) -> None:
    visit = lab(**SMALL)
    visit.page.evaluate(
        f"""{MODEL}.set("settings", {{ ...vae.state().settings, beta: 4, rate: "fast", hidden: [0], gamma: 1,
            faults: ["<img src=x>"], latents: 3, data: "__proto__" }})"""
    )
    found = state(visit)["settings"]
    assert found["beta"] == 4
    assert found["latents"] == 3
    assert found["faults"] == []
    assert found["data"] == "digits"
    assert "gamma" not in found
    assert visit.page.locator("img[src=x]").count() == 0
    assert len(trained(visit, 10)["runs"][0]["kl"]) == 3
    assert "= " in told(visit)
    visit.check()


def test_one_step_dissected_adds_up(lab: Callable[..., Visit]) -> None:
    visit = lab(**SMALL)
    trained(visit, 30)
    visit.page.get_by_text("One step, dissected").click()
    visit.page.wait_for_function("vae.lab.dissection.found")
    one = visit.page.evaluate("vae.lab.dissection.found")
    sigma = np.exp(one["logSigma"])
    assert one["z"] == pytest.approx(np.array(one["mean"]) + sigma * np.array(one["eps"]))
    assert one["pull"]["mean"] == pytest.approx(-np.array(one["mean"]))
    assert one["pull"]["logSigma"] == pytest.approx(1 - sigma**2)
    assert one["push"]["logSigma"] == pytest.approx(
        np.array(one["push"]["mean"]) * sigma * one["eps"]
    )
    x, p = np.array(one["x"]), np.array(one["output"])
    assert one["logP"] == pytest.approx(np.log(np.where(x > 0, p, 1 - p)).sum(), rel=1e-5)
    card = visit.page.locator(".vw-lab-card").nth(6)
    card.hover()
    lit = visit.page.locator("[data-lit]").all_inner_texts()
    assert any(text.startswith("kl = ") for text in lit)
    assert any(text.startswith("Σ [½(σ²") for text in lit)
    press(visit, "tutorial’s KL")
    assert "mean**2 - log_sigma - 0.5" in visit.page.inner_text(".vw-lab-code")
    visit.check()


@pytest.mark.parametrize(("width", "dark"), [(360, False), (800, True)])
def test_it_fits_its_window(lab: Callable[..., Visit], width: int, dark: bool) -> None:
    for options in ({**SMALL, "forks": [{"beta": 4.0}, {"model": "AE"}]}, PLANE):
        visit = lab({"width": width, "dark": dark}, **options)
        trained(visit, 20)
        for details in visit.page.locator("summary").all():
            details.click()
        assert visit.sideways() <= 0
        assert "NaN" not in told(visit)
        visit.check()


def test_live_it_tells_python(tmp_path: Path, open_page: Open) -> None:
    visit = rendered_live(TrainingLab(**SMALL), tmp_path, open_page)
    visit.page.wait_for_function("el.__vae")
    visit.page.evaluate("el.__vae.lab.edit({ beta: 2 })")
    saves_and_closes(visit)


def test_a_thousand_random_inputs_leave_no_error_and_no_nan(lab: Callable[..., Visit]) -> None:
    """Clicks, keys, choices and drags at random, from one seed."""
    visit = lab(**SMALL)
    page, rng = visit.page, random.Random(19)
    page.wait_for_function("vae.state().steps.length === 1")
    # In the page, so that a thousand take seconds: what a reader's events come to there.
    act = """async (some) => { for (const each of some) { act(each); await new Promise((done) => setTimeout(done, 4)); }
    function act([kind, a, b]) {
        const root = document.querySelector("section.vae-widget");
        const any = (selector) => { const all = [...root.querySelectorAll(selector)].filter((e) => e.offsetParent && !e.disabled); return all[Math.floor(a * all.length)]; };
        if (kind === "button") any("button")?.click();
        else if (kind === "select") {
            const box = any("select");
            if (box) { box.selectedIndex = Math.floor(b * box.options.length); box.dispatchEvent(new Event("change")); }
        } else if (kind === "seed") {
            const input = root.querySelector("input[type=number]");
            input.value = ["1", "-3", "", "1e400", "2.7", "99999999999", "12"][Math.floor(a * 7)];
            input.dispatchEvent(new Event("change"));
        } else if (kind === "key") {
            const keys = ["p", "s", "r", " ", "ArrowLeft", "ArrowUp", "+", "-", "Home", "Escape", "Enter", "x"];
            any("canvas[tabindex], button, [role=slider], .vw-lab-card")?.dispatchEvent(new KeyboardEvent("keydown", { key: keys[Math.floor(b * keys.length)], bubbles: true, cancelable: true }));
        } else {
            const canvas = any("canvas"), box = canvas.getBoundingClientRect();
            const at = { pointerId: 1, pointerType: "mouse", button: 0, bubbles: true, cancelable: true, clientX: box.left + a * box.width, clientY: box.top + b * box.height };
            canvas.setPointerCapture = () => {};
            for (const name of ["pointerdown", "pointermove", "pointerup"]) canvas.dispatchEvent(new PointerEvent(name, { ...at, clientX: at.clientX + (name === "pointermove" ? 9 : 0) }));
        }
    }
    const text = document.querySelector("section.vae-widget").innerText;
    return /NaN|undefined|Infinity/.test(text) ? text : ""; }"""
    kinds = ("button", "button", "select", "select", "seed", "key", "pointer")
    for i in range(50):
        some = [[rng.choice(kinds), rng.random(), rng.random()] for _ in range(20)]
        wrong = page.evaluate(act, some)
        assert wrong == "", (i, wrong)
        assert visit.errors == [], i
    page.wait_for_timeout(300)
    assert "NaN" not in told(visit)
    visit.check()
