"""Picture files of every kind: each is read right, or named in one sentence."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_files import picture, read, refused
from PIL import Image, ImageCms

from vae_core import data

# ---- pixels ------------------------------------------------------------------------------------

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)  # every grey once


def test_sixteen_bits_keep_their_whole_range(tmp_path: Path) -> None:
    """White is 65535, and a grey v becomes the byte nearest to v / 257."""
    deep = np.concatenate([RAMP.ravel().astype(np.uint16) * 257, [128, 129, 65535, 0]])
    deep = np.resize(deep, 17 * 17).reshape(17, 17).astype(np.uint16)
    expected = np.rint(deep / 257).astype(np.uint8)
    for number, ending in enumerate(("png", "tif", "tiff", "PNG")):
        path = tmp_path / str(number) / f"deep.{ending}"
        picture(path, deep)
        assert np.array_equal(read(path, 17)[0], expected), ending
        assert np.array_equal(read(path, 17, 3), np.broadcast_to(expected, (3, 17, 17)))
    pgm = tmp_path / "pgm" / "deep.pgm"
    pgm.parent.mkdir()
    pgm.write_bytes(b"P5\n17 17\n65535\n" + deep.astype(">u2").tobytes())
    assert np.array_equal(read(pgm, 17)[0], expected)


def tiff(path: Path, values: np.ndarray, kind: int, bits: int | None = None) -> None:
    """A TIFF as other programs write it, little-endian and in one strip.

    ``kind``: 1 for whole numbers, 2 for signed ones, 3 for floats.
    """
    height, width = values.shape
    raw = values.astype(values.dtype.newbyteorder("<")).tobytes()
    tags = [
        (256, width), (257, height), (258, bits or 8 * values.itemsize), (259, 1), (262, 1),
        (273, 8), (277, 1), (278, height), (279, len(raw)), (339, kind),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    content = b"II*\0" + struct.pack("<I", 8 + len(raw)) + raw
    content += struct.pack("<H", len(tags)) + entries + bytes(4)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_floating_pixels_are_read_from_zero_to_one(tmp_path: Path) -> None:
    path = tmp_path / "a" / "float.tif"
    picture(path, (RAMP / 255).astype(np.float32))
    assert np.array_equal(read(path, 16)[0], RAMP)
    for number, (change, words) in enumerate(
        ((1.5, "from 0 to 1.5"), (-0.25, "from -0.25 to 1"), (np.nan, "some that are no numbers"))
    ):
        wrong = (RAMP / 255).astype(np.float32)
        wrong[3, 3] = change
        folder = tmp_path / str(number)
        picture(folder / "wrong.tif", wrong)
        message = refused(folder)
        assert message.startswith(f"{folder / 'wrong.tif'} can't be read as an image: floating pix")
        assert words in message


def test_whole_numbers_without_a_known_white_are_refused(tmp_path: Path) -> None:
    tiff(tmp_path / "wide.tif", np.arange(64, dtype=np.uint32).reshape(8, 8) * 70_000, 1)
    message = refused(tmp_path)
    assert "wide.tif can't be read as an image: its pixels are whole numbers from" in message
    assert message.endswith("nothing says which is white: save it with 8 or 16 bits")


def test_twelve_bits_in_a_tiff(tmp_path: Path) -> None:
    """A microscope's 12 bits, packed two pixels to three bytes: white is 4095."""
    values = np.linspace(0, 4095, 256).astype(np.uint16).reshape(16, 16)
    pairs = values.reshape(-1, 2)
    packed = np.stack(
        [pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1
    ).astype(np.uint8)
    path = tmp_path / "12.tif"
    tiff(path, values, 1, bits=12)
    whole = path.read_bytes()
    # The strip is shorter than the 16-bit one that tiff() wrote: its length is tag 279's value.
    raw, length = packed.tobytes(), struct.pack("<HHII", 279, 4, 1, packed.size)
    at = 8 + values.nbytes
    directory = whole[at:].replace(struct.pack("<HHII", 279, 4, 1, values.nbytes), length)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(raw)) + raw + directory)
    assert np.array_equal(read(path, 16)[0], np.rint(values * (255 / 4095)).astype(np.uint8))


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    ink = np.zeros((4, 4, 4), dtype=np.uint8)  # black, and clear but for three pixels
    ink[0, 0, 3], ink[0, 1, 3], ink[0, 2, 3] = 255, 128, 51
    path = tmp_path / "rgba" / "0.png"
    picture(path, ink)
    expected = np.full((4, 4), 255)
    expected[0, :3] = 0, 127, 204
    assert np.array_equal(read(path, 4)[0], expected)
    assert np.array_equal(read(path, 4, 3), np.broadcast_to(expected, (3, 4, 4)))
    grey = tmp_path / "la" / "0.png"
    picture(grey, ink[..., 2:])
    assert np.array_equal(read(grey, 4)[0], expected)
    webp = tmp_path / "webp" / "0.webp"
    picture(webp, ink, lossless=True, exact=True)
    assert np.array_equal(read(webp, 4)[0], expected)
    # A palette, a grey and a colour that each have one value for "nothing here".
    palette = Image.fromarray(np.array([[0, 1], [2, 1]], dtype=np.uint8), "P")
    palette.putpalette([10, 20, 30, 0, 0, 0, 200, 100, 50])
    (tmp_path / "p").mkdir()
    palette.save(tmp_path / "p" / "0.png", transparency=1)
    found = read(tmp_path / "p" / "0.png", 2, 3)
    assert found[:, 0, 0].tolist() == [10, 20, 30]
    assert found[:, 0, 1].tolist() == found[:, 1, 1].tolist() == [255, 255, 255]
    assert found[:, 1, 0].tolist() == [200, 100, 50]
    (tmp_path / "l").mkdir()
    Image.fromarray(np.array([[0, 7], [7, 9]], dtype=np.uint8)).save(
        tmp_path / "l" / "0.png", transparency=7
    )
    assert read(tmp_path / "l" / "0.png", 2)[0].tolist() == [[0, 255], [255, 9]]


def test_a_palette_gives_its_colours_and_one_bit_black_and_white(tmp_path: Path) -> None:
    palette = Image.fromarray(np.array([[0, 1], [2, 3]], dtype=np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 8, 9, 10])
    (tmp_path / "p").mkdir()
    palette.save(tmp_path / "p" / "0.png")
    found = read(tmp_path / "p" / "0.png", 2, 3)
    assert found.reshape(3, 4).T.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [8, 9, 10]]
    assert read(tmp_path / "p" / "0.png", 2)[0, 0].tolist() == [76, 150]  # 0.299 R + 0.587 G
    (tmp_path / "bit").mkdir()
    Image.fromarray(np.array([[True, False], [False, True]])).save(tmp_path / "bit" / "0.png")
    assert read(tmp_path / "bit" / "0.png", 2)[0].tolist() == [[255, 0], [0, 255]]


def test_cmyk_is_read_as_the_colours_it_prints(tmp_path: Path) -> None:
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # magenta and yellow: red
    inks.paste((255, 255, 255, 255), (0, 0, 8, 16))
    for ending in ("jpg", "tif"):
        (tmp_path / ending).mkdir()
        inks.save(tmp_path / ending / f"0.{ending}", quality=100)
        found = read(tmp_path / ending / f"0.{ending}", 16, 3)
        assert np.abs(found[:, 8, 12].astype(int) - [255, 0, 0]).max() <= 3, ending
        assert found[:, 8, 3].max() <= 3


def test_lab_is_read_as_colours(tmp_path: Path) -> None:
    red = Image.new("RGB", (4, 4), (200, 30, 40))
    srgb = ImageCms.createProfile("sRGB")
    lab = ImageCms.profileToProfile(red, srgb, ImageCms.createProfile("LAB"), outputMode="LAB")
    assert lab is not None
    lab.save(tmp_path / "0.tif")
    found = read(tmp_path / "0.tif", 4, 3)
    assert np.abs(found[:, 1, 1].astype(int) - [200, 30, 40]).max() <= 3


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif"])
def test_of_an_animation_the_first_picture_counts(ending: str, tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8), value, dtype=np.uint8)) for value in (60, 120, 240)]
    options = {"lossless": True} if ending == "webp" else {}
    path = tmp_path / f"0.{ending}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    with Image.open(path) as stored:
        assert getattr(stored, "n_frames", 1) == 3
    assert np.unique(read(path, 8)).tolist() == [60]


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_a_rotation_tag_turns_the_picture(tag: int, ending: str, tmp_path: Path) -> None:
    """What a camera stores lying is read standing: the dark quarter comes out at the upper left."""
    upright = np.full((16, 16), 230, dtype=np.uint8)
    upright[:8, :8] = 20  # symmetric about one diagonal alone, so a second mark:
    upright[:8, 8:12] = 120
    # The EXIF standard: which side of the stored picture is the top of what it shows.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[tag]
    exif = Image.Exif()
    exif[0x0112] = tag
    path = tmp_path / f"0.{ending}"
    options: dict[str, Any] = {"quality": 100} if ending == "jpg" else {}
    if ending == "webp":
        options = {"lossless": True}
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, **options)
    found = read(path, 16)[0].astype(int)
    assert np.abs(found - upright)[2:6, 2:6].max() <= 12  # a JPEG's blocks are 8 pixels wide
    assert np.abs(found - upright)[2:6, 9:11].max() <= 40
    assert np.abs(found - upright)[10:, 10:].max() <= 12


def test_a_damaged_rotation_tag_leaves_the_picture_as_it_is(tmp_path: Path) -> None:
    picture(tmp_path / "0.jpg", np.full((8, 8), 90, dtype=np.uint8), exif=b"Exif\0\0MM\0*broken")
    assert np.unique(read(tmp_path / "0.jpg", 8)).tolist() == [90]


def test_pictures_that_are_not_square_are_squeezed(tmp_path: Path) -> None:
    """Documented: width and height are scaled each on its own, and nothing is cut off."""
    wide = np.zeros((10, 40), dtype=np.uint8)
    wide[:, 20:] = 200
    picture(tmp_path / "a.png", wide)
    picture(tmp_path / "b.png", wide.T.copy())
    picture(tmp_path / "c.png", np.full((3, 3), 50, dtype=np.uint8))
    images = data.load(tmp_path, "train", size=20).images[:, 0]
    assert images.shape == (3, 20, 20)
    assert images[0, :, :8].max() == 0
    assert images[0, :, 12:].min() == 200
    assert torch.equal(images[1], images[0].T)
    assert images[2].unique().tolist() == [50]


# ---- files that can't be read ------------------------------------------------------------------


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def huge_png(side: int) -> bytes:
    """A PNG of side * side black pixels, a few bytes long."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def whole_png(tmp_path: Path) -> bytes:
    path = tmp_path / "whole" / "0.png"
    picture(path, np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    return path.read_bytes()


@pytest.mark.parametrize("fault", ["empty", "cut", "huge", "text", "other", "text bomb"])
def test_a_file_that_cannot_be_read_is_named(fault: str, tmp_path: Path) -> None:
    whole = whole_png(tmp_path)
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000), 9))
    content, words = {
        "empty": (b"", "the file is empty"),
        "cut": (whole[: len(whole) // 2], "image file is truncated"),
        "huge": (huge_png(20_000), "it is too large, with more than the 178,956,970 pixels that"),
        "text": (b"no picture at all", "it has no format that Pillow knows"),
        "other": (whole[:8] + bytes(100), ""),
        "text bomb": (whole[:33] + bomb + whole[33:], "too large"),
    }[fault]
    folder = tmp_path / "folder"
    picture(folder / "a.png", np.zeros((4, 4), dtype=np.uint8))
    (folder / "b.png").write_bytes(content)
    message = refused(folder)
    assert message.startswith(f"{folder / 'b.png'} can't be read as an image: ")
    assert words in message


def test_a_large_photograph_is_read_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between Pillow's limit and twice that it warns, without the file's name: no news here."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    picture(tmp_path / "0.png", np.full((9, 9), 70, dtype=np.uint8))
    assert np.unique(read(tmp_path / "0.png", 4)).tolist() == [70]
    picture(tmp_path / "0.png", np.full((11, 11), 70, dtype=np.uint8))
    assert "too large, with more than the 100 pixels" in refused(tmp_path)


def test_names_of_any_kind(tmp_path: Path) -> None:
    names = ("ä ö ü ß", "日本", "with space", "new\nline", "tab\t", "x'y\"z", "%s{}", "a.b.c")
    if os.name == "nt":
        names = tuple(name for name in names if not set(name) & set('\n\t"'))
    for number, name in enumerate(sorted(names)):
        picture(tmp_path / "Größe\u2028" / f"{name}.png", np.full((4, 4), number, dtype=np.uint8))
    images = data.load(tmp_path, "train+validation", size=4).images
    assert images[:, 0, 0, 0].tolist() == [i for i in range(len(names)) if i % 6 != 5]
    (tmp_path / "Größe\u2028" / "new\nline.png").write_bytes(b"")
    message = refused(tmp_path, "train+validation")
    assert "Größe\\u2028" in message
    assert "new\\nline.png can't be read as an image: the file is empty" in message


def test_upper_case_endings_and_other_spellings(tmp_path: Path) -> None:
    for number, ending in enumerate(("PNG", "Jpg", "JPEG", "TIF", "Bmp", "WEBP", "GIF")):
        picture(tmp_path / f"{number}.{ending}", np.full((4, 4), 200, dtype=np.uint8))
    assert len(data.load(tmp_path, "train+validation").images) == 6
    assert len(data.load(tmp_path, "test").images) == 1
