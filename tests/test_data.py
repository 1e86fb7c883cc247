"""The data: the published bytes, whatever happens to files, caches and networks."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import math
import shutil
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import one_sentence
from hypothesis import given
from hypothesis import strategies as st
from image_files import picture
from torch import Tensor

from vae_core import _cache, data
from vae_core.data import _load, _mnist

COUNTS = {
    "train+validation": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}
NAMES = tuple(_mnist.CHECKSUMS)
LABELS = "t10k-labels-idx1-ubyte"


@pytest.fixture
def fresh() -> None:
    """Forget what the process has read, so that files are read again."""
    _load._mnist_tensors.cache_clear()


# ---- MNIST -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("split", "n"), [("train+validation", 60_000), ("test", 10_000)])
def test_mnist(split: str, n: int, offline: None) -> None:
    found = data.load("mnist", split)
    assert found.images.shape == (n, 1, 28, 28)
    assert found.images.dtype == torch.uint8
    assert found.labels.shape == (n,)
    assert found.labels.dtype == torch.int64
    assert found.labels.bincount().tolist() == COUNTS[split]
    assert (found.name, found.split, found.classes) == ("mnist", split, tuple("0123456789"))
    # The tensors are the published files' bytes, in their order.
    prefix = "t10k" if split == "test" else "train"
    header = struct.pack(">HBBIII", 0, 8, 3, n, 28, 28)
    content = header + found.images.numpy().tobytes()
    assert hashlib.md5(content).hexdigest() == _mnist.CHECKSUMS[f"{prefix}-images-idx3-ubyte"]
    content = struct.pack(">HBBI", 0, 8, 1, n) + found.labels.to(torch.uint8).numpy().tobytes()
    assert hashlib.md5(content).hexdigest() == _mnist.CHECKSUMS[f"{prefix}-labels-idx1-ubyte"]


def test_the_validation_digits_are_the_last_ten_thousand_training_digits() -> None:
    train, validation, both = (data.load("mnist", s) for s in _load.SPLITS[:3])
    assert torch.equal(train.images, both.images[:50_000])
    assert torch.equal(train.labels, both.labels[:50_000])
    assert torch.equal(validation.images, both.images[50_000:])
    assert torch.equal(validation.labels, both.labels[50_000:])
    assert [found.split for found in (train, validation)] == ["train", "validation"]


def test_the_checksums_are_those_of_the_original_database() -> None:
    assert list(_mnist.CHECKSUMS.values()) == [
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ]


def test_torchvision_reads_the_same_bytes(offline: None) -> None:
    from torchvision.datasets import MNIST

    ours = data.load("mnist", "test")
    theirs = MNIST(data.torchvision_root(), train=False)
    assert torch.equal(theirs.data, ours.images[:, 0])
    assert torch.equal(theirs.targets, ours.labels)
    theirs = MNIST(data.torchvision_root(), train=True)
    assert theirs.targets.bincount().tolist() == COUNTS["train+validation"]


def test_torchvision_root_takes_a_folder(tmp_path: Path) -> None:
    assert data.torchvision_root(tmp_path / "here") == str(tmp_path / "here")
    found = {path.name for path in (tmp_path / "here" / "MNIST" / "raw").iterdir()}
    assert found == set(NAMES)  # and no temporary file beside them


def test_what_a_caller_changes_does_not_reach_the_next() -> None:
    first = data.load("mnist", "test")
    first.images.zero_()
    first.labels.zero_()
    second = data.load("mnist", "test")
    assert second.images.sum() > 0
    assert second.labels.bincount().tolist() == COUNTS["test"]


def test_first_and_to() -> None:
    test = data.load("mnist", "test")
    few = test.first(3)
    assert torch.equal(few.images, test.images[:3])
    assert few.labels.tolist() == [7, 2, 1]
    assert few.to("cpu").labels.device.type == "cpu"
    assert (few.name, few.split) == ("mnist", "test")
    for n in (0, -1, 10_001):
        with pytest.raises(ValueError, match=f"n must be between 1 and 10000; got {n}"):
            test.first(n)


# ---- damage and unwritable places ------------------------------------------------------------


def test_damage_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    shutil.copytree(str(_mnist._embedded), tmp_path / "package")
    monkeypatch.setattr(_mnist, "_embedded", tmp_path / "package")
    packed = tmp_path / "package" / f"{LABELS}.xz"
    whole = packed.read_bytes()
    content = bytearray(lzma.decompress(whole))
    content[1000] ^= 1  # a valid file with one label changed
    flipped = bytearray(whole)
    flipped[len(flipped) // 2] ^= 1
    for number, damaged in enumerate((bytes(flipped), whole[:-20], b"", lzma.compress(content))):
        packed.write_bytes(damaged)
        with pytest.raises(data.DamagedFileError) as error:
            data.load("mnist", "test", root=tmp_path / str(number))
        message = one_sentence(error)
        assert message.startswith(f"the embedded MNIST file {LABELS}.xz is damaged")
        assert message.endswith("reinstall vae-core to get the file back")
        assert not (tmp_path / str(number) / "MNIST" / "raw" / LABELS).exists()
    packed.unlink()
    with pytest.raises(data.DamagedFileError) as error:
        data.load("mnist", "test", root=tmp_path / "gone")
    assert "is missing" in one_sentence(error)


@pytest.mark.parametrize("damage", [b"", b"other bytes", None])
def test_a_damaged_copy_in_the_cache_is_replaced(
    damage: bytes | None, tmp_path: Path, fresh: None
) -> None:
    path = _mnist.raw_folder(tmp_path) / LABELS
    data.load("mnist", "test", root=tmp_path)
    right = path.read_bytes()
    path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]) if damage is None else damage)
    _load._mnist_tensors.cache_clear()
    assert data.load("mnist", "test", root=tmp_path).labels.bincount().tolist() == COUNTS["test"]
    assert path.read_bytes() == right


def test_a_whole_copy_in_the_cache_is_not_unpacked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    data.load("mnist", "test", root=tmp_path)
    _load._mnist_tensors.cache_clear()

    def fail(name: str) -> bytes:
        raise AssertionError(f"{name} was unpacked twice")

    monkeypatch.setattr(_mnist, "unpack", fail)
    assert len(data.load("mnist", "test", root=tmp_path).labels) == 10_000


def test_an_unwritable_cache_warns_once_and_the_data_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None, offline: None
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(_cache.VARIABLE, str(tmp_path / "file" / "cache"))
    with pytest.warns(RuntimeWarning) as told:
        assert len(data.load("mnist", "test").images) == 10_000
    assert len(told) == 1
    message = str(told[0].message)
    assert message.startswith(f"the cache folder {tmp_path / 'file' / 'cache'}")
    assert "can't be written (Not a directory)" in message
    assert _cache.VARIABLE in message
    assert "\n" not in message
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # told already
        root = data.torchvision_root()
    from torchvision.datasets import MNIST

    assert MNIST(root, train=False).targets.bincount().tolist() == COUNTS["test"]


def test_a_damaged_copy_that_cannot_be_replaced_is_not_given_to_torchvision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.torchvision_root(tmp_path)
    (_mnist.raw_folder(tmp_path) / LABELS).write_bytes(b"damaged")
    write = _cache.write
    monkeypatch.setattr(  # read-only, also for root
        _cache, "write", lambda path, save: tmp_path not in path.parents and write(path, save)
    )
    root = Path(data.torchvision_root(tmp_path))
    assert root != tmp_path
    content = (_mnist.raw_folder(root) / LABELS).read_bytes()
    assert hashlib.md5(content).hexdigest() == _mnist.CHECKSUMS[LABELS]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"

    def stopped(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _cache.write(path, stopped)
    assert list(path.parent.iterdir()) == []
    assert _cache.write(path, lambda temporary: temporary.write_bytes(b"old"))
    with pytest.raises(KeyboardInterrupt):
        _cache.write(path, stopped)
    assert [found.name for found in path.parent.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_the_cache_folder_is_the_systems_unless_moved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(_cache.VARIABLE, str(tmp_path))
    assert _cache.folder() == tmp_path
    monkeypatch.delenv(_cache.VARIABLE)
    assert _cache.folder().name == "vae-core"


@pytest.mark.parametrize(
    "content",
    [
        struct.pack(">HBBI", 0, 8, 1, 4) + b"abc",
        struct.pack(">HBBI", 0, 13, 1, 1) + b"abcd",
        struct.pack(">HBBI", 7, 8, 1, 3) + b"abc",
    ],
)
def test_an_idx_file_that_does_not_hold_what_it_states_is_refused(content: bytes) -> None:
    with pytest.raises(data.DamagedFileError, match="IDX file"):
        _mnist.parse_idx(content)


# ---- arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cifar", "MNIST", "no/such/folder", ""])
def test_an_unknown_name_lists_the_known(name: str) -> None:
    with pytest.raises(ValueError, match="unknown data set") as error:
        data.load(name)
    message = one_sentence(error)
    assert repr(name) in message
    for known in ("mnist", "fashion-mnist", "kmnist", "emnist", "qmnist"):
        assert known in data.available()
        assert known in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"split": "valid"},
            "split must be one of train, validation, train.validation, test; got 'valid'",
        ),
        ({"channels": 2}, "channels must be 1 or 3; got 2"),
        ({"size": 0}, "size must be a whole number of at least 1; got 0"),
        ({"size": 2.5}, "size must be a whole number of at least 1; got 2.5"),
        ({"size": 32}, "size and channels are for folders of images"),
        ({"channels": 3}, "size and channels are for folders of images"),
    ],
)
def test_bad_arguments(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        data.load("mnist", **options)  # type: ignore[arg-type]


# ---- torchvision's data sets -----------------------------------------------------------------


def idx(values: np.ndarray) -> bytes:
    kind = {"uint8": 8, "int32": 12}[values.dtype.name]
    header = struct.pack(f">HBB{values.ndim}I", 0, kind, values.ndim, *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


def digits(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
    return images, rng.integers(0, 10, n, dtype=np.uint8)


LAYOUTS: dict[str, tuple[str, dict[str, str], str]] = {
    # name -> folder, prefix of each split, ending of the labels' file
    "fashion-mnist": ("FashionMNIST", {"train": "train", "test": "t10k"}, "labels-idx1-ubyte"),
    "kmnist": ("KMNIST", {"train": "train", "test": "t10k"}, "labels-idx1-ubyte"),
    "emnist": (
        "EMNIST",
        {"train": "emnist-balanced-train", "test": "emnist-balanced-test"},
        "labels-idx1-ubyte",
    ),
    "qmnist": ("QMNIST", {"train": "qmnist-train", "test": "qmnist-test"}, "labels-idx2-int"),
}


def write_layout(name: str, root: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Small files where torchvision looks for the real ones; what each split holds."""
    folder, prefixes, labels_file = LAYOUTS[name]
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    held = {}
    for seed, (split, prefix) in enumerate(prefixes.items()):
        images, labels = digits(7 + seed, seed)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
        stored = labels
        if name == "qmnist":
            stored = np.arange(8 * len(labels), dtype=np.int32).reshape(-1, 8)
            stored[:, 0] = labels
        (raw / f"{prefix}-{labels_file}").write_bytes(idx(stored))
        held[split] = images, labels
    return held


@pytest.mark.parametrize("name", LAYOUTS)
def test_torchvisions_sets_come_by_the_same_call(name: str, tmp_path: Path, offline: None) -> None:
    held = write_layout(name, tmp_path)
    whole = {split.replace("train", "train+validation"): both for split, both in held.items()}
    parts = {"train": slice(0, 6), "validation": slice(6, 7)}  # of seven examples
    for split, part in parts.items():
        whole[split] = tuple(values[part] for values in held["train"])
    for split, (images, labels) in whole.items():
        found = data.load(name, split, root=tmp_path)
        upright = images.transpose(0, 2, 1) if name == "emnist" else images
        assert found.images.shape == (len(images), 1, 28, 28)
        assert found.images.dtype == torch.uint8
        assert found.images.is_contiguous()
        assert np.array_equal(found.images[:, 0].numpy(), upright)
        assert found.labels.dtype == torch.int64
        assert found.labels.tolist() == labels.tolist()
        assert (found.name, found.split) == (name, split)
        assert len(found.classes) == (47 if name == "emnist" else 10)
        assert all(isinstance(label, str) for label in found.classes)


def test_an_emnist_letter_stands_upright(tmp_path: Path) -> None:
    """EMNIST's files hold images transposed: a bar along the file's row 3 is a column 3."""
    write_layout("emnist", tmp_path)
    lying = np.zeros((1, 28, 28), dtype=np.uint8)
    lying[0, 3, 5:20] = 255
    raw = tmp_path / "EMNIST" / "raw"
    (raw / "emnist-balanced-test-images-idx3-ubyte").write_bytes(idx(lying))
    (raw / "emnist-balanced-test-labels-idx1-ubyte").write_bytes(idx(np.array([9], np.uint8)))
    upright = data.load("emnist", "test", root=tmp_path).images[0, 0]
    assert upright[5:20, 3].eq(255).all()
    assert upright.count_nonzero() == 15


@pytest.mark.parametrize("name", LAYOUTS)
def test_without_a_network_one_sentence_says_what_to_do(
    name: str, tmp_path: Path, offline: None, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(data.DataUnavailableError) as error:
        data.load(name, "test", root=tmp_path)
    message = one_sentence(error)
    assert message.startswith(f"{name} is not on this machine and could not be downloaded: no netw")
    assert "try again with a network, or give as root a folder that holds its files" in message
    assert "/" not in message  # plain words: no paths, no addresses
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("damaged", [b"", b"\0\0\x08\x03\0\0", b"not an IDX file at all"])
def test_a_damaged_torchvision_file_is_named(
    name: str, damaged: bytes, tmp_path: Path, offline: None
) -> None:
    write_layout(name, tmp_path)
    folder, prefixes, _ = LAYOUTS[name]
    raw = tmp_path / folder / "raw"
    (raw / f"{prefixes['test']}-images-idx3-ubyte").write_bytes(damaged)
    with pytest.raises(data.DamagedFileError) as error:
        data.load(name, "test", root=tmp_path)
    message = one_sentence(error)
    assert str(raw) in message
    assert "delete" in message


def test_labels_and_images_that_do_not_pair_are_damage(tmp_path: Path, offline: None) -> None:
    write_layout("kmnist", tmp_path)
    raw = tmp_path / "KMNIST" / "raw"
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(data.DamagedFileError, match=r"images \[8, 28, 28\], labels \[3\]"):
        data.load("kmnist", "test", root=tmp_path)


# ---- imports ---------------------------------------------------------------------------------


def test_mnist_needs_no_torchvision(python: Callable[..., object]) -> None:
    done = python(
        "import sys\n"
        "sys.modules['torchvision'] = None  # any import of it raises ImportError\n"
        "import vae_core\n"
        "print(vae_core.data.load('mnist', 'test').labels.bincount().tolist())\n"
        "try:\n"
        "    vae_core.data.load('kmnist')\n"
        "except vae_core.data.DataUnavailableError as error:\n"
        "    print(error)\n"
        "assert not [name for name in sys.modules if name.startswith('torchvision.')]\n"
    )
    assert done.returncode == 0, done.stderr
    counts, message = done.stdout.splitlines()
    assert counts == str(COUNTS["test"])
    assert message.startswith(
        "only MNIST is embedded; torchvision's data sets need a working torchv"
    )


def test_a_folder_of_images_needs_no_torchvision(
    tmp_path: Path, python: Callable[..., object]
) -> None:
    """Beside a torch it was not made for, torchvision fails at import."""
    for i in range(6):
        picture(tmp_path / "images" / f"{i}.png", np.full((4, 4), i, dtype=np.uint8))
    done = python(
        "import sys\n"
        "sys.modules['torchvision'] = None\n"
        "from vae_core import data\n"
        f"print(data.load({str(tmp_path / 'images')!r}, 'test', size=4).images.unique().tolist())\n"
    )
    assert (done.stdout, done.stderr) == ("[5]\n", "")


def test_importing_data_loads_no_display_library(python: Callable[..., object]) -> None:
    done = python(
        "import sys, vae_core.data\n"
        "heavy = {'matplotlib', 'anywidget', 'ipywidgets', 'IPython', 'traitlets',\n"
        "         'sklearn', 'sympy', 'torchvision', 'PIL', 'myst_nb'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert done.stdout == "[]\n", done.stderr


# ---- pixels ----------------------------------------------------------------------------------

shapes = st.lists(st.integers(0, 6), min_size=1, max_size=4).map(tuple)


def test_to_float() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    pixels = data.to_float(every)
    assert pixels.dtype == torch.float32
    assert torch.equal(pixels, torch.arange(256, dtype=torch.float32) / 255)
    assert every.tolist() == list(range(256))  # not changed in place
    for wrong in (torch.zeros(2), torch.zeros(2, dtype=torch.int64)):
        with pytest.raises(ValueError, match=f"takes uint8 images, got {wrong.dtype}"):
            data.to_float(wrong)


@given(st.integers(0, 2**31), shapes, st.sampled_from(["dynamic", "fixed", "threshold"]))
def test_binarize_gives_zeros_and_ones(seed: int, shape: tuple[int, ...], mode: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    pixels = data.binarize(images, mode)
    assert pixels.shape == shape
    assert pixels.dtype == torch.float32
    assert bool(((pixels == 0) | (pixels == 1)).all())
    # Black and white need no chance; bytes and their floats mean the same.
    certain = (images > 127).to(torch.uint8) * 255
    assert torch.equal(data.binarize(certain, mode), certain / 255)
    if mode != "dynamic":
        assert torch.equal(pixels, data.binarize(data.to_float(images), mode))


def test_dynamic_pixels_have_their_bytes_probability() -> None:
    n = 20_000
    images = torch.tensor([0, 1, 64, 128, 200, 254, 255], dtype=torch.uint8).expand(n, 7)
    generator = torch.Generator().manual_seed(1)
    p = images[0].double() / 255
    mean = data.binarize(images, generator=generator).double().mean(0)
    assert bool(((mean - p).abs() <= 4 * (p * (1 - p) / n).sqrt()).all())


def test_dynamic_pixels_are_drawn_anew_from_the_generator() -> None:
    images = torch.full((50, 50), 128, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(1)
    first, second = (data.binarize(images, "dynamic", generator=generator) for _ in range(2))
    assert not torch.equal(first, second)
    again = data.binarize(images, "dynamic", generator=torch.Generator().manual_seed(1))
    assert torch.equal(first, again)


def test_fixed_pixels_depend_on_the_seed_alone() -> None:
    images = data.load("mnist", "test").images[:200]
    first = data.binarize(images, "fixed", seed=3)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert torch.equal(first, data.binarize(images, "fixed", seed=3))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first, data.binarize(images, "fixed", seed=4))
    assert torch.equal(data.binarize(images, "fixed"), data.binarize(images, "fixed", seed=0))
    p = data.to_float(images).double()
    error = math.sqrt((p * (1 - p)).sum())
    assert abs(first.double().sum() - p.sum()) < 4 * error


def test_fixed_pixels_are_drawn_on_the_cpu_whatever_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The draw must never name the images' device: generators differ between devices."""
    drawn: list[object] = []
    real = torch.rand

    def watched(*arguments: object, **options: object) -> Tensor:
        drawn.append(options.get("device"))
        assert isinstance(options["generator"], torch.Generator)
        assert options["generator"].device.type == "cpu"
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "rand", watched)
    data.binarize(torch.zeros(3, dtype=torch.uint8, device="cpu"), "fixed")
    assert drawn == ["cpu"]
    if torch.cuda.is_available():
        images = data.load("mnist", "test").images[:100]
        here = data.binarize(images, "fixed", seed=5)
        assert torch.equal(here, data.binarize(images.to("cuda"), "fixed", seed=5).cpu())


def test_threshold_is_one_half() -> None:
    assert data.binarize(torch.tensor([0.0, 0.5, 0.500001, 1.0]), "threshold").tolist() == [
        0.0,
        0.0,
        1.0,
        1.0,
    ]
    images = torch.tensor([127, 128], dtype=torch.uint8)
    assert data.binarize(images, "threshold").tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("images", "options", "words"),
    [
        (torch.zeros(2), {"mode": "soft"}, "mode must be one of dynamic, fixed, threshold; got"),
        (torch.zeros(2), {"mode": "dynamic", "seed": 1}, "seed belongs to mode 'fixed'"),
        (torch.zeros(2), {"mode": "threshold", "seed": 1}, "seed belongs to mode 'fixed'"),
        (torch.zeros(2), {"mode": "fixed", "generator": torch.Generator()}, "generator belongs"),
        (torch.zeros(2), {"mode": "threshold", "generator": torch.Generator()}, "generator bel"),
        (torch.tensor([0.5, 1.5]), {}, r"pixels must lie in \[0, 1\]; got values from 0.5 to 1.5"),
        (torch.tensor([-0.5, 0.5]), {}, r"pixels must lie in \[0, 1\]; got values from -0.5"),
        (torch.tensor([math.nan]), {}, r"pixels must lie in \[0, 1\]"),
        (torch.zeros(2, dtype=torch.int64), {}, "takes uint8 or floating images, got torch.int64"),
    ],
)
def test_binarize_refuses(images: Tensor, options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        data.binarize(images, **options)  # type: ignore[arg-type]


# ---- batches ---------------------------------------------------------------------------------


@given(st.integers(1, 300), st.integers(1, 320), st.booleans())
def test_batches_name_each_example_once(n: int, batch_size: int, shuffle: bool) -> None:
    found = list(data.batches(n, batch_size, shuffle=shuffle))
    sizes = [len(index) for index in found]
    assert sizes[:-1] == [batch_size] * (len(found) - 1)
    assert 1 <= sizes[-1] <= batch_size
    order = torch.cat(found)
    assert order.dtype == torch.int64
    assert sorted(order.tolist()) == list(range(n))
    if not shuffle:
        assert order.tolist() == list(range(n))


def test_the_order_comes_from_the_generator() -> None:
    def order(seed: int) -> Tensor:
        return torch.cat(list(data.batches(100, 7, generator=torch.Generator().manual_seed(seed))))

    assert torch.equal(order(1), order(1))
    assert not torch.equal(order(1), order(2))
    generator = torch.Generator().manual_seed(1)
    epochs = [torch.cat(list(data.batches(100, 7, generator=generator))) for _ in range(2)]
    assert not torch.equal(*epochs)


@pytest.mark.parametrize(("n", "batch_size"), [(0, 1), (1, 0), (-3, 4), (2.5, 1), (4, 1.5)])
def test_batches_refuses_at_the_call(n: int, batch_size: int) -> None:
    with pytest.raises(ValueError, match="must be a whole number of at least 1; got"):
        data.batches(n, batch_size)


def test_gzip_copies_are_not_what_torchvision_root_needs(tmp_path: Path) -> None:
    """A reader who copied the original .gz files still gets the IDX files beside them."""
    raw = _mnist.raw_folder(tmp_path)
    raw.mkdir(parents=True)
    (raw / f"{LABELS}.gz").write_bytes(gzip.compress(b"whatever"))
    data.torchvision_root(tmp_path)
    assert hashlib.md5((raw / LABELS).read_bytes()).hexdigest() == _mnist.CHECKSUMS[LABELS]
