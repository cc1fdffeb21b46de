"""Pictures: every mode and turn against NumPy, and every damaged file refused in one line and in little memory."""

import io
import json
import struct
import sys
import textwrap
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile
from training import python

from npnets.data.images import HEIF, decode, square

pytestmark = pytest.mark.quick

COLOUR = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
ALPHA = np.random.default_rng(1).integers(0, 256, (5, 7), np.uint8)
DEEP = np.random.default_rng(2).integers(0, 1 << 16, (5, 7), np.uint16)


def saved(folder, image, kind="png", **options):
    path = folder / f"picture.{kind}"
    image.save(path, **options)
    return path


# -- good files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff", "ppm", "webp", "gif", "jp2"])
def test_formats(tmp_path, kind):
    options = {"webp": {"lossless": True}, "jp2": {"irreversible": False, "quality_mode": "rates"}}
    image = Image.fromarray(COLOUR)
    if kind == "gif":
        image = image.convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
    read = decode(saved(tmp_path, image, kind, **options.get(kind, {})))
    assert read.dtype == np.uint8
    assert read.flags.writeable
    assert np.array_equal(read, COLOUR)


def test_jpeg_is_as_pillow_decodes_it(tmp_path):
    path = saved(tmp_path, Image.fromarray(COLOUR), "jpg", quality=95)
    assert np.array_equal(decode(path), np.asarray(Image.open(path)))


def test_grey(tmp_path):
    expected = np.stack([ALPHA] * 3, 2)
    assert np.array_equal(decode(saved(tmp_path, Image.fromarray(ALPHA))), expected)
    assert np.array_equal(decode(saved(tmp_path, Image.fromarray(ALPHA > 127))), (expected > 127) * np.uint8(255))


@pytest.mark.parametrize("kind", ["png", "pgm", "tiff"])
def test_16_bits_are_rounded(tmp_path, kind):
    """Pillow's own conversion of these cuts them off at 255, or drops the lower byte."""
    read = decode(saved(tmp_path, Image.fromarray(DEEP), kind))
    assert np.array_equal(read, np.rint(DEEP / 257).astype(np.uint8)[..., None].repeat(3, 2))


def on_white(colour, alpha):
    share = alpha[..., None] / 255
    return colour * share + 255 * (1 - share)


def test_alpha_is_laid_on_white(tmp_path):
    read = decode(saved(tmp_path, Image.fromarray(np.dstack([COLOUR, ALPHA]))))
    assert abs(read - on_white(COLOUR, ALPHA)).max() <= 1  # Pillow rounds in integers
    read = decode(saved(tmp_path, Image.fromarray(np.dstack([COLOUR[..., 0], ALPHA]))))
    assert abs(read - on_white(COLOUR[..., [0, 0, 0]], ALPHA)).max() <= 1


def test_a_palette_with_a_transparent_colour(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    assert decode(saved(tmp_path, image)).tolist()[0] == [[10, 20, 30], [200, 100, 50]]
    read = decode(saved(tmp_path, image, transparency=1))
    assert read.tolist() == [[[10, 20, 30], [255] * 3], [[255] * 3, [10, 20, 30]]]


def test_cmyk(tmp_path):
    image = Image.fromarray(np.dstack([COLOUR, np.zeros_like(ALPHA)]), "CMYK")
    assert np.array_equal(decode(saved(tmp_path, image, "tiff")), 255 - COLOUR)


TURNS = {  # what makes the stored image upright, as the EXIF standard numbers it
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x[::-1].swapaxes(0, 1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: x.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
def test_exif_turns(tmp_path, turn, kind):
    exif = Image.Exif()
    exif[0x0112] = turn
    path = saved(tmp_path, Image.fromarray(COLOUR), kind, exif=exif, **{"webp": {"lossless": True}}.get(kind, {}))
    assert np.array_equal(decode(path), TURNS[turn](COLOUR))


def test_damaged_exif_does_not_cost_the_picture(tmp_path):
    path = saved(tmp_path, Image.fromarray(COLOUR), "png", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x03\x01\x12")
    assert np.array_equal(decode(path), COLOUR)


def test_an_animation_is_its_first_frame(tmp_path):
    frames = [Image.fromarray(np.full((4, 4, 3), value, np.uint8)) for value in (7, 70)]
    path = saved(tmp_path, frames[0], "webp", save_all=True, append_images=frames[1:], lossless=True)
    assert (decode(path) == 7).all()


# -- bad files ---------------------------------------------------------------------------------------------------------


def encoded(kind, image, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(width, height, data=b""):
    """A PNG of one bit a pixel that promises these sides; `data` is what its only chunk of pixels holds."""
    chunks = (
        (b"IHDR", struct.pack(">2I5B", width, height, 1, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(data)),
        (b"IEND", b""),
    )
    framed = (struct.pack(">I", len(x)) + name + x + struct.pack(">I", zlib.crc32(name + x)) for name, x in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


NOISE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8))
WHOLE = {
    kind: encoded(kind, NOISE, **options)
    for kind, options in (("PNG", {}), ("JPEG", {}), ("TIFF", {"compression": "tiff_lzw"}), ("GIF", {}), ("WEBP", {}))
}


def resized(kind, form):
    """A picture whose header promises other sides."""
    content = encoded(kind, NOISE)
    assert content.count(struct.pack(form, 64, 64)) == 1
    return content.replace(struct.pack(form, 64, 64), struct.pack(form, 60_000, 60_000))


BAD = {
    "empty": (b"", "the file is empty"),
    "text": (b"<html>404 not found</html>", "Pillow knows no such format"),
    **{f"{kind}, cut off": (content[: len(content) // 2], "") for kind, content in WHOLE.items()},
    **{f"{kind}, 20 bytes": (content[:20], "") for kind, content in WHOLE.items()},
    "PNG, 60 000 x 60 000": (png(60_000, 60_000, bytes(7501 * 1000)), "exceeds limit of"),
    "PNG, 2**31 x 2**31": (png((1 << 31) - 1, (1 << 31) - 1), "exceeds limit of"),
    "PNG, just too large": (png(10_000, 9_000), "exceeds limit of"),
    "PNG, just allowed and empty": (png(9_459, 9_459), "truncated"),
    "PNG, no width": (png(0, 5), ""),
    "BMP, 60 000 x 60 000": (resized("BMP", "<2i"), "exceeds limit of"),
    "JPEG, 60 000 x 60 000": (resized("JPEG", ">2H"), "exceeds limit of"),
    "EPS": (encoded("EPS", NOISE), "EPS is not read"),
    "TIFF of floats": (encoded("TIFF", Image.fromarray(np.ones((4, 4), np.float32))), "what is white among them"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "rule"), [pytest.param(*case, id=name) for name, case in BAD.items()])
def test_bad_pictures(content, rule, tmp_path):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path}: not a picture that can be read: .*{rule}") as caught:
        decode(path)
    assert type(caught.value) is ValueError
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 250


def test_bad_pictures_take_little_memory(tmp_path):
    """In one process, of which the system tells the most memory it ever had."""
    for name, (content, _) in BAD.items():
        (tmp_path / name).write_bytes(content)
    code = """
        import json, os, resource, sys, time
        from npnets.data.images import decode
        import PIL.ImageOps
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        begin, slowest = peak(), 0
        for name in sys.argv[1:]:
            start = time.process_time()
            try:
                decode(name)
            except ValueError:
                slowest = max(slowest, time.process_time() - start)
        print(json.dumps([begin, peak() - begin, slowest]))
    """
    done = python("-c", textwrap.dedent(code), *BAD, cwd=tmp_path)
    _, grown, slowest = json.loads(done.stdout)
    assert grown < 256
    assert slowest < 1


@pytest.mark.parametrize("brand", HEIF)
def test_heic_names_its_plug_in(tmp_path, brand, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1" + bytes(64))
    with pytest.raises(ModuleNotFoundError, match=f"^{path} is HEIC, .* a plug-in: pip install pillow-heif$"):
        decode(path)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nosuch"):
        decode(tmp_path / "nosuch.jpg")
    with pytest.raises(IsADirectoryError):
        decode(tmp_path)


def test_whatever_a_decoder_raises_names_the_file(tmp_path, monkeypatch):
    path = saved(tmp_path, NOISE)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: [][0])
    with pytest.raises(ValueError, match=f"^{path}: .*list index out of range$"):
        decode(path)


# -- the centre square -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 7), (7, 5), (6, 6), (1, 9)])
def test_the_square_is_the_centre(shape):
    x = np.arange(np.prod(shape) * 3, dtype=np.uint8).reshape(*shape, 3)
    edge = min(shape)
    top, left = (shape[0] - edge) // 2, (shape[1] - edge) // 2
    out = square(x, edge)
    assert np.array_equal(out, x[top : top + edge, left : left + edge])
    assert out.flags.writeable
    assert not np.shares_memory(out, x)


def test_reducing_is_antialiased():
    """Stripes of one pixel become grey, not black or white."""
    x = np.zeros((64, 64, 3), np.uint8)
    x[:, ::2] = 255
    assert abs(square(x, 16)[:, 1:-1].astype(int) - 127.5).max() < 10


def test_a_triangle_of_the_reduction():
    """Against the definition, in floating point: weight max(0, 1 - distance / 4) for a reduction by 4."""
    x = np.random.default_rng(4).integers(0, 256, (32, 32, 3), np.uint8)
    centres = np.arange(8) * 4 + 2
    weight = np.maximum(0, 1 - abs(centres[:, None] - np.arange(32) - 0.5) / 4)
    weight /= weight.sum(1, keepdims=True)
    expected = np.einsum("ik,jl,klc->ijc", weight, weight, x)
    assert abs(square(x, 8) - expected).max() <= 1.01  # Pillow rounds after each direction


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: square([1], 2), TypeError, "`image` must be a NumPy array of uint8, and is list"),
        (lambda: square(COLOUR / 255, 2), TypeError, "`image` must be a NumPy array of uint8, and is float64"),
        (
            lambda: square(ALPHA, 2),
            ValueError,
            "`image` must have the axes (H, W, 3) or (H, W, 1), and has the shape (5, 7)",
        ),
        (
            lambda: square(COLOUR[:0], 2),
            ValueError,
            "`image` must have the axes (H, W, 3) or (H, W, 1), and has the shape (0, 7, 3)",
        ),
        (lambda: square(COLOUR, 0), ValueError, "`side` (=0) must be at least 1"),
        (lambda: square(COLOUR, 1.5), TypeError, "`side` (=1.5) must be a whole number"),
    ],
)
def test_messages(call, kind, message):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message
