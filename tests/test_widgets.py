"""What the widgets carry, say and refuse, without a browser."""

from __future__ import annotations

import base64
import json
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_core import data, widgets
from vae_core.distributions import BernoulliLikelihood, GaussianLikelihood
from vae_core.models import VAE, Autoencoder
from vae_core.widgets import DrawAndEncode, KLExplorer, LatentExplorer, _base
from vae_core.widgets import _payload as payload
from vae_core.widgets._base import bundle
from vae_core.widgets._page import ALPHABET, bare, from_text, to_text


@pytest.fixture(scope="module")
def few() -> data.ImageData:
    """The first 400 test digits."""
    test = data.load("mnist", "test")
    return test._replace(images=test.images[:400], labels=test.labels[:400])


@pytest.fixture(scope="module")
def vae() -> VAE:
    return VAE(hidden=(64,), seed=1).eval()


@pytest.fixture(scope="module")
def explorer(vae: VAE, few: data.ImageData) -> LatentExplorer:
    return LatentExplorer({"AE": Autoencoder(hidden=(64,)).eval(), "VAE": vae}, few)


@pytest.fixture
def studio(vae: VAE, few: data.ImageData) -> DrawAndEncode:
    return DrawAndEncode(vae, few)


# ------------------------------------------------------------------ payload


def test_blob_is_named_by_its_content() -> None:
    blob = payload.Blob.of(b"seven" * 100)
    assert blob == payload.Blob.of(b"seven" * 100)
    assert blob.raw() == b"seven" * 100
    assert blob.sha != payload.Blob.of(b"eight" * 100).sha


@pytest.mark.parametrize(
    ("cols", "shape", "by"),
    # rows that are no pictures; that make pictures of 7 by 43; that read pictures of 12 by 11
    [(128, (28, 28), "rows"), (131, (7, 43), "cols"), (132, (12, 11), "rows")],
)
def test_layers_come_back_as_they_were_packed(cols: int, shape: tuple[int, int], by: str) -> None:
    rng = np.random.default_rng(0)
    large = payload.Linear(
        rng.normal(size=(301, cols)).astype(np.float32), rng.normal(size=301).astype(np.float32)
    )
    small = payload.Linear(
        rng.normal(size=(3, 301)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    )
    inputs = rng.normal(size=(2000, cols)).astype(np.float32)
    blob, specs = payload.pack_layers([large, small], inputs, "relu", shape)
    assert [spec["format"] for spec in specs] == ["int8", "float32"]
    assert specs[0]["by"] == by
    got_large, got_small = payload.unpack_layers(blob.raw(), specs)
    levels, scale = payload.quantise(large.weight, inputs)
    assert scale == pytest.approx(np.abs(large.weight).max() / payload.LEVELS)
    np.testing.assert_array_equal(got_large.weight, levels * scale)
    np.testing.assert_array_equal(got_large.bias, large.bias)
    np.testing.assert_array_equal(got_small.weight, small.weight)
    np.testing.assert_array_equal(got_small.bias, small.bias)


def test_quantising_for_the_inputs_beats_rounding() -> None:
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(50, 400)).astype(np.float32)
    # Inputs on a curve through 400 dimensions, as a decoder's hidden layer is on a plane.
    inputs = np.maximum(np.outer(np.linspace(-1, 1, 900), rng.normal(size=400)), 0)
    levels, scale = payload.quantise(weight, inputs)
    assert np.abs(levels).max() <= payload.LEVELS
    rounded = np.rint(weight / scale) * scale
    exact, own, plain = (inputs @ w.T for w in (weight, levels * scale, rounded))
    assert np.abs(own - exact).max() < 0.1 * np.abs(plain - exact).max()


def test_twin_has_the_packed_weights(few: data.ImageData) -> None:
    model = VAE(seed=2).eval()
    codes = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    decoder = payload.pack_decoder(model, codes)
    encoder = payload.pack_encoder(model, few.images)
    twin = payload.dequantised(model, decoder, encoder)
    for (blob, specs), own in ((decoder, twin.decoder.layers), (encoder, twin.encoder.layers)):
        for read, linear in zip(payload.unpack_layers(blob.raw(), specs), own, strict=False):
            assert torch.equal(torch.from_numpy(read.weight.copy()), linear.weight)
    assert not torch.equal(twin.decoder.layers[-1].weight, model.decoder.layers[-1].weight)
    assert torch.equal(twin.encoder.mean.weight, model.encoder.mean.weight)
    assert torch.equal(twin.encoder.log_sigma.weight, model.encoder.log_sigma.weight)
    error = payload.quantisation_error(model, twin, codes)
    assert 0 < error.mean < error.largest < 0.002
    x = data.to_float(few.images)
    with torch.no_grad():
        assert 0 < (twin.embed(x) - model.embed(x)).abs().max() < 0.01


def test_codes_keep_one_scale_for_both_axes() -> None:
    codes = torch.tensor([[3.0, -0.01], [-1.5, 0.02]])
    blob, scale = payload.pack_codes(codes)
    np.testing.assert_allclose(payload.unpack_codes(blob, scale), codes, atol=3.0 / 32_767)


def test_atlas_comes_back_at_the_nearest_grey(few: data.ImageData) -> None:
    got = payload.unpack_atlas(payload.pack_atlas(few.images[:90]))  # the third lane is not full
    difference = np.abs(got - few.images[:90, 0].numpy() / 255)
    assert difference.max() <= 0.5 / (payload.GREYS - 1) + 1e-6


def test_digits_come_back_as_they_are(few: data.ImageData) -> None:
    raw = payload.pack_digits(few.images[:7]).raw()
    assert raw == few.images[:7].numpy().tobytes()


# ------------------------------------------------------------------ text


@given(st.binary(max_size=300))
def test_bytes_survive_as_text(raw: bytes) -> None:
    text = to_text(raw)
    assert from_text(text) == raw
    assert set(text) <= set(ALPHABET)
    assert len(text) == 2 + 2 * math.ceil(8 * len(raw) / 13)


def test_text_means_nothing_to_a_page() -> None:
    assert len(set(ALPHABET)) == len(ALPHABET) == 91
    assert ALPHABET.isascii()
    assert ALPHABET.isprintable()
    assert not set(ALPHABET) & set('<&"\\')


def test_bare_code_keeps_what_runs() -> None:
    code = """
// a comment
class A {
  // another
  text() { // stays
    return `two ${this.a}
      // lines, kept

    as they are` + "// no comment";
  }
  /* a block
     of lines */
  one = `\\``;
  /* before */ two = 2;
}
"""
    assert (
        bare(code)
        == """class A {
text() { // stays
return `two ${this.a}
      // lines, kept

    as they are` + "// no comment";
}
one = `\\``;
two = 2;
}"""
    )


def test_bare_bundle_is_shorter_and_has_no_comment_lines() -> None:
    for name in ("latent_explorer", "draw_and_encode"):
        full, short = bundle(name), bare(bundle(name))
        assert len(short) < 0.9 * len(full)
        assert not re.search(r"^(\s|//|$)", short, re.MULTILINE)
        assert bare(short) == short


def test_what_a_page_has_once_needs_nothing_of_a_widget() -> None:
    others = [part for part in _base.OPTIONAL if part not in _base.KIT]
    for part in _base.KIT:
        assert [other for other in others if _base._uses(_base._read(part), other)] == [], part
    for name in widgets.__all__:
        kind = getattr(getattr(widgets, name), "NAME", "")
        if kind:
            assert len(_base.with_kit(kind)) < len(bundle(kind)) - 30_000


# ------------------------------------------------------------------ renditions


def test_html_needs_nothing_else(explorer: LatentExplorer, studio: DrawAndEncode) -> None:
    for widget in (explorer, studio):
        html = widget.to_html()
        code = re.sub(r"(data-vae-blob=[^>]+>)[^<]*", r"\1", html)  # chance may write anything
        assert not re.search(r"https?:|\bsrc\s*=|\bhref\s*=|@import|\bfetch\s*\(|XMLHttp", code)
        assert not re.search(r"^\s*import\b|\bimport\s*\(", code, re.MULTILINE)
        assert html.count("<script") == html.count("</script>") == len(widget.blobs) + 2
        for sha, stored in re.findall(r'data-vae-blob="(\w{64})">([^<]+)<', html):
            assert from_text(stored) == widget.blobs[sha]
        state = json.loads(re.findall(r'"application/json">(.*?)</script>', html)[0])
        assert set(state) == {*widget.STATE, "payload", "share"}
        assert html == widget.to_html()


def test_decoder_codes_and_labels_are_shared(
    explorer: LatentExplorer, studio: DrawAndEncode
) -> None:
    shown = explorer.payload["models"][1]
    assert shown["decoder"]["sha"] == studio.payload["decoder"]["sha"]
    assert shown["codes"]["sha"] == studio.payload["codes"]["sha"]
    assert explorer.payload["labels"] == studio.payload["labels"]


def test_a_name_cannot_close_the_script(vae: VAE, few: data.ImageData) -> None:
    html = LatentExplorer({"</script><b>": vae}, few).to_html()
    assert "</script><b>" not in html


def test_mimebundle_serves_kernel_page_and_print(
    explorer: LatentExplorer, studio: DrawAndEncode
) -> None:
    for widget in (explorer, studio):
        shown, _ = widget._repr_mimebundle_()
        assert set(shown) == {
            "application/vnd.jupyter.widget-view+json", "text/html", "image/png", "text/plain",
        }  # fmt: skip
        assert base64.b64decode(shown["image/png"]).startswith(b"\x89PNG\r\n\x1a\n")
        assert shown["text/plain"] == f"{type(widget).__name__}()"


def test_a_notebook_gets_the_rendition_and_the_live_view_apart(
    explorer: LatentExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one output, a notebook opened without its kernel would show "model not found"."""
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(_base, "display", lambda data, raw, metadata=None: shown.append(data))
    explorer._ipython_display_()
    static, live = shown
    assert set(static) == {"text/html", "image/png", "text/plain"}
    assert set(live) == {"application/vnd.jupyter.widget-view+json"}
    # They find each other by a mark, which no other widget has.
    assert f'data-mark="{explorer.mark}"' in static["text/html"]
    assert explorer.get_state()["mark"] == explorer.mark != KLExplorer().mark
    # Where no script runs, the picture stands for it.
    hidden = re.search("<noscript>(.*)</noscript>", static["text/html"])
    assert hidden
    assert f'src="data:image/png;base64,{static["image/png"]}"' in hidden[1]


# ------------------------------------------------------------------ traits


def test_explorer_traits_are_checked(explorer: LatentExplorer) -> None:
    explorer.z = [0.25, -1.0]
    for name, bad in (("z", [1.0]), ("start", [0.0, float("nan")]), ("end", [0.0, float("inf")])):
        before = getattr(explorer, name)
        with pytest.raises(ValueError, match=f"{name} must be two finite numbers"):
            setattr(explorer, name, bad)
        assert getattr(explorer, name) == before
    with pytest.raises(ValueError, match="model_name must be one of"):
        explorer.model_name = "GAN"


def test_setting_pixels_moves_the_numbers(studio: DrawAndEncode, few: data.ImageData) -> None:
    before = studio.elbo
    studio.pixels = few.images[11].flatten().tolist()
    with torch.no_grad():
        posterior = studio.twin.encode(data.to_float(few.images[11:12]))
    assert studio.mean == pytest.approx(posterior.mean[0].tolist(), abs=1e-6)
    assert studio.kl == pytest.approx(float(posterior.kl()), abs=1e-5)
    assert studio.elbo == pytest.approx(studio.reconstruction - studio.kl, abs=1e-3)
    assert studio.elbo != before
    for bad in ([0] * 783, [0] * 783 + [256], [-1] * 784):
        with pytest.raises(ValueError, match="pixels must be 784 whole numbers from 0 to 255"):
            studio.pixels = bad


def test_bernoulli_drawing_is_black_and_white(few: data.ImageData) -> None:
    studio = DrawAndEncode(VAE(hidden=(8,), likelihood=BernoulliLikelihood()), few)
    assert set(studio.image().unique().tolist()) == {0.0, 1.0}
    assert studio.payload["likelihood"]["kind"] == "bernoulli"


def test_gaussian_sigma_travels(few: data.ImageData) -> None:
    for sigma, expected in ((0.25, 0.25), ("learned", 1.0)):
        model = VAE(hidden=(8,), likelihood=GaussianLikelihood(sigma=sigma, link="identity"))
        likelihood = DrawAndEncode(model, few).payload["likelihood"]
        assert likelihood["sigma"] == pytest.approx(expected)
        assert likelihood["link"] == "identity"


def test_shelf_shows_every_class(studio: DrawAndEncode) -> None:
    labels = studio.payload["digits"]["labels"]
    assert len(labels) >= 20
    assert set(labels) == set(range(10))


# ------------------------------------------------------------------ refusals


def test_unfit_models_are_refused(vae: VAE, few: data.ImageData) -> None:
    for models, words in (
        ({}, "one to three names"),
        (vae, "one to three names"),
        ({"x": torch.nn.Linear(2, 2)}, "must be an Autoencoder or a VAE"),
        ({"x": "vae-2"}, "must be an Autoencoder or a VAE"),
        ({"x": VAE(latent_dim=3, hidden=(8,))}, "latent_dim 2"),
        ({"x": VAE(shape=(3, 8, 8), hidden=(8,))}, "grey images"),
        ({"x": VAE(architecture="conv", hidden=(4,))}, "linear layers"),
        ({"x": VAE(hidden=(8,), likelihood=GaussianLikelihood("per-pixel"))}, "one sigma"),
        ({"x": vae, "y": VAE(shape=(1, 8, 8), hidden=(8,))}, "the others"),
        ({"x": VAE(hidden=(8,)).to("meta")}, "on the meta device"),
    ):
        with pytest.raises(ValueError, match=words):
            LatentExplorer(models, few)
    with pytest.raises(ValueError, match="must be a VAE"):
        DrawAndEncode(Autoencoder(hidden=(8,)), few)


def test_unfit_data_are_refused(vae: VAE, few: data.ImageData) -> None:
    for bad, words in (
        (few.images, "must be an ImageData"),
        (few._replace(images=few.images.float()), "uint8 images of the model's shape"),
        (few._replace(images=few.images[:, :, :20]), "uint8 images of the model's shape"),
        (few._replace(images=few.images[:0], labels=few.labels[:0]), "uint8 images"),
        (few._replace(labels=few.labels[:9]), "a label for each image"),
        (few._replace(labels=few.labels + 5), "labels must lie in"),
        (few._replace(images=few.images.to("meta")), "not on the meta device"),
    ):
        for widget in (lambda d: LatentExplorer({"VAE": vae}, d), lambda d: DrawAndEncode(vae, d)):
            with pytest.raises(ValueError, match=words):
                widget(bad)


@pytest.mark.parametrize("name", widgets.__all__)
def test_no_name_is_declared_twice_in_a_module(name: str) -> None:
    """Shared code and a widget's own become one module: a second ``const`` stops it."""
    declared = re.findall(
        r"^(?:class|(?:async )?function|const|let) (\w+)",
        bundle(getattr(widgets, name).NAME),
        re.MULTILINE,
    )
    assert len(declared) > 30
    assert [each for each in set(declared) if declared.count(each) > 1] == []
