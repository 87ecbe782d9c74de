import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssal.data import decode_image
from ssal.data.decode import MAX_PIXELS, open_image, read_header
from ssal.errors import DataError

HEIGHT, WIDTH = 5, 7
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def luma(colours: np.ndarray) -> np.ndarray:
    """ITU-R 601 in 16-bit fixed point."""
    red, green, blue = np.moveaxis(colours.astype(np.int64), -1, 0)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)


def three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG written by hand, so that the reference does not depend on Pillow's own writer."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def scanlines(array: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in array)


def palette_png() -> tuple[bytes, np.ndarray]:
    palette = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
    chunk = b"PLTE" + palette.tobytes()
    extra = struct.pack(">I", 768) + chunk + struct.pack(">I", zlib.crc32(chunk))
    # Half of the palette is transparent: the colours behind must come out all the same.
    transparency = b"tRNS" + bytes([0] * 128)
    extra += struct.pack(">I", 128) + transparency + struct.pack(">I", zlib.crc32(transparency))
    return png(WIDTH, HEIGHT, 8, 3, scanlines(GREY), extra), palette[GREY]


def cmyk_reference(cmyk: np.ndarray) -> np.ndarray:
    inks = cmyk.astype(np.float64)
    return (255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255


PALETTE_FILE, PALETTE_COLOURS = palette_png()
EXACT = {
    "RGB png": (png(WIDTH, HEIGHT, 8, 2, scanlines(COLOURS)), COLOURS),
    "L png": (png(WIDTH, HEIGHT, 8, 0, scanlines(GREY)), three(GREY)),
    "LA png": (png(WIDTH, HEIGHT, 8, 4, scanlines(np.dstack([GREY, ALPHA]))), three(GREY)),
    "RGBA png": (png(WIDTH, HEIGHT, 8, 6, scanlines(np.dstack([COLOURS, ALPHA]))), COLOURS),
    "P png with transparency": (PALETTE_FILE, PALETTE_COLOURS),
    "1 png": (png(8, 1, 1, 0, b"\0\xa5"), three(np.array([[255, 0, 255, 0, 0, 255, 0, 255]], np.uint8))),
    "16-bit grey png": (
        png(WIDTH, HEIGHT, 16, 0, scanlines(DEEP.astype(">u2"))),
        three((DEEP // 256).astype(np.uint8)),
    ),
    "16-bit RGB png": (
        png(1, 2, 16, 2, scanlines(np.array([[0, 256, 65535], [512, 4096, 255]], ">u2"))),
        np.array([[[0, 1, 255]], [[2, 16, 0]]], np.uint8),
    ),
    "16-bit tiff": (encoded(Image.fromarray(DEEP), "TIFF"), three((DEEP // 256).astype(np.uint8))),
    "16-bit big-endian tiff": (
        encoded(Image.frombytes("I;16B", (WIDTH, HEIGHT), DEEP.astype(">u2").tobytes()), "TIFF"),
        three((DEEP // 256).astype(np.uint8)),
    ),
    "16-bit pgm": (
        f"P5 {WIDTH} {HEIGHT} 65535\n".encode() + DEEP.astype(">u2").tobytes(),
        three((DEEP // 256).astype(np.uint8)),
    ),
    "float tiff, 0 to 1": (
        encoded(Image.fromarray(GREY.astype(np.float32) / 255), "TIFF"),
        three(GREY),
    ),
    "float tiff, 0 to 255": (encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"), three(GREY)),
    "bmp": (encoded(Image.fromarray(COLOURS), "BMP"), COLOURS),
    "lossless webp": (encoded(Image.fromarray(COLOURS), "WEBP", lossless=True), COLOURS),
    "ppm": (f"P6 {WIDTH} {HEIGHT} 255\n".encode() + COLOURS.tobytes(), COLOURS),
}


@pytest.mark.parametrize("name", EXACT)
def test_every_mode_gives_the_reference_pixels(name: str) -> None:
    data, reference = EXACT[name]
    assert np.array_equal(decode_image(data, 3), reference)
    assert np.array_equal(decode_image(data, 1)[:, :, 0], luma(reference))


def test_cmyk_is_mixed_ink_by_ink() -> None:
    cmyk = RNG.integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    data = encoded(Image.frombytes("CMYK", (WIDTH, HEIGHT), cmyk.tobytes()), "TIFF")
    assert np.abs(decode_image(data, 3) - cmyk_reference(cmyk)).max() <= 1


def test_cmyk_jpeg_is_not_inverted() -> None:
    cmyk = np.zeros((16, 16, 4), np.uint8)
    cmyk[..., 0] = 255
    data = encoded(Image.frombytes("CMYK", (16, 16), cmyk.tobytes()), "JPEG", quality=100)
    assert np.abs(decode_image(data, 3).astype(int) - [0, 255, 255]).max() <= 3


def test_sixteen_bits_keep_their_levels() -> None:
    ramp = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    levels = decode_image(encoded(Image.fromarray(ramp), "PNG"), 1)
    assert len(np.unique(levels)) == 256
    assert np.abs(levels[..., 0] - ramp / 257.0).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_puts_the_image_upright(kind: str, orientation: int) -> None:
    # Four flat quarters survive lossy coding.
    upright = np.kron(np.array([[10, 80], [150, 250]]), np.ones((16, 24))).astype(np.uint8)
    # Row 0 and column 0 of what is stored, as the EXIF standard names them.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: upright.T[::-1],
        7: upright.T[::-1, ::-1],
        8: upright.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif, **options)
    decoded = decode_image(data, 1)[:, :, 0]
    assert decoded.shape == upright.shape
    assert np.abs(decoded.astype(int) - upright).max() <= 3
    header = read_header(data, name="x")
    assert (header.height, header.width) == (upright.shape if kind != "PNG" else stored.shape)
    assert header.grey == (kind != "WEBP")


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    frames = [Image.fromarray(np.full((HEIGHT, WIDTH, 3), level, np.uint8)) for level in (40, 120, 200)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=10)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert (decode_image(data, 3) == 40).all()


def test_the_same_image_in_any_wrapping(tmp_path: Path) -> None:
    data = EXACT["RGB png"][0]
    path = tmp_path / "image.png"
    path.write_bytes(data)
    tensor = torch.from_numpy(COLOURS).permute(2, 0, 1)
    sources = [
        data, path, str(path), Image.open(path), Image.fromarray(COLOURS), COLOURS, tensor,
        tensor.double() / 255, tensor.float(), COLOURS.astype(np.int64), COLOURS / 255,
        COLOURS.astype(np.uint16) * 257, COLOURS[::-1][::-1], np.dstack([COLOURS, ALPHA]),
    ]  # fmt: skip
    for source in sources:
        assert np.array_equal(decode_image(source, 3), COLOURS)
    for source in [
        GREY,
        GREY[:, :, None],
        np.dstack([GREY, ALPHA]),
        torch.from_numpy(GREY),
        torch.from_numpy(GREY)[None],
    ]:
        assert np.array_equal(decode_image(source, 1)[:, :, 0], GREY)
        assert np.array_equal(decode_image(source, 3), three(GREY))
    assert (decode_image(np.eye(3, dtype=bool), 1)[:, :, 0] == 255 * np.eye(3)).all()
    assert (decode_image(torch.ones(2, 2, dtype=torch.bfloat16), 1) == 255).all()


@pytest.mark.parametrize("cut", [0, 1, 8, 30, 60, -20])
def test_truncated_files_are_named(tmp_path: Path, cut: int) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    whole = encoded(image, "PNG")
    path = tmp_path / "cut.png"
    # The last bytes of a PNG only close it.
    path.write_bytes(whole[: cut if cut >= 0 else cut - 12])
    with pytest.raises(DataError, match="cut.png' cannot be read as an image: "):
        decode_image(path, 3)


@pytest.mark.parametrize(
    "data", [b"", b"no image", b"GIF89a", b"\xff\xd8\xff", b"<svg></svg>", b"%PDF-1.4", b"\0" * 1000]
)
def test_rubbish_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(DataError, match="^'row 3' cannot be read as an image: ") as caught:
        decode_image(data, 3, name="row 3")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", [3, None, {}, bytearray(b"\xff\xd8"), np.float32(1)])
def test_what_is_no_image_at_all_is_named_by_its_type(source: object) -> None:
    message = f"^'{type(source).__name__}' cannot be read as an image: it is no path, bytes, Pillow image"
    with pytest.raises(DataError, match=message):
        decode_image(source, 3)


def test_formats_that_nobody_uses_are_never_tried() -> None:
    data = encoded(Image.fromarray(COLOURS), "SGI")
    with pytest.raises(DataError, match="not in one of the formats JPEG, PNG"):
        decode_image(data, 3)


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    for data in (png(side, side, 1, 0, b""), png(60_000, 60_000, 1, 0, b"")):
        with pytest.raises(DataError, match="89,478,485 pixels, the limit against decompression bombs"):
            decode_image(data, 3)


def test_an_uncompressed_bomb_is_refused_too() -> None:
    with pytest.raises(DataError, match="cannot be read"):
        decode_image(b"P6 9000 9000 255\n", 3)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (np.full((2, 2), np.nan), "finite"),
        (np.full((2, 2), -0.1), "0 … 1 or 0 … 255; found -0.1"),
        (np.full((2, 2), 300), "must lie in 0 … 255; found 300"),
        (np.zeros((3, 4, 5)), r"\[H, W\] or \[H, W, C\]"),
        (np.zeros((2, 2, 2, 2)), r"got \[2, 2, 2, 2\]"),
        (np.zeros((0, 4)), "holds no pixel"),
        (np.array([["a"]]), "must be numbers"),
        (torch.zeros(5, 4, 4), r"\[C, H, W\]"),
        (Image.fromarray(np.full((2, 2), 70_000, np.int32)), "0 … 65535; found 70000"),
        (Image.fromarray(np.full((2, 2), np.inf, np.float32)), "finite"),
    ],
)
def test_values_that_are_no_image_are_explained(source: object, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        decode_image(source, 3)  # type: ignore[arg-type]


def test_what_is_not_a_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        decode_image(tmp_path / "missing.png", 3)
    with pytest.raises(DataError, match="not a file"):
        decode_image(tmp_path, 3)


def test_control_characters_in_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\u202e.png"
    path.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        decode_image(path, 3)
    assert str(caught.value).isprintable()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_does_not_cost_the_image() -> None:
    data = encoded(Image.new("RGB", (8, 8), (9, 9, 9)), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert decode_image(data, 3).shape == (8, 8, 3)


@pytest.mark.parametrize("orientation", [1, 6])
def test_jpegs_are_decoded_no_larger_than_needed(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    gradient = np.linspace(0, 255, 640).astype(np.uint8) * np.ones((480, 1), np.uint8)
    data = encoded(Image.fromarray(gradient.astype(np.uint8)), "JPEG", exif=exif)
    full = (640, 480) if orientation == 1 else (480, 640)
    asked = []

    def enough(size: tuple[int, int]) -> tuple[int, int]:
        asked.append(size)
        return (100, 70) if orientation == 1 else (70, 100)

    small = open_image(data, 3, enough=enough)
    assert asked == [full]
    assert small.full_size == full
    assert small.image.size == (full[0] // 4, full[1] // 4)
    whole = open_image(data, 3).image
    assert np.abs(np.asarray(whole.resize(small.image.size), dtype=int) - np.asarray(small.image)).max() <= 4
