"""Images of every mode and with every fault, on the whole way from a file to a prediction."""

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ssal.data import Preprocess, open_data
from ssal.data.decode import MAX_PIXELS, MAX_SIDE

from ..test_cli import ssal
from ..test_data_decode import COLOURS, EXACT, HEIGHT, WIDTH, encoded, png
from .sound import write_run

SUFFIXES = {"tiff": ".tif", "webp": ".webp", "bmp": ".bmp", "ppm": ".ppm", "pgm": ".pgm"}
WHOLE = {
    name: (data, pixels) for name, (data, pixels) in EXACT.items() if pixels.shape == (HEIGHT, WIDTH, 3)
} | {
    "P gif": (encoded(Image.fromarray(COLOURS).quantize(256), "GIF"), None),
    "apng": (
        encoded(
            Image.fromarray(COLOURS), "PNG", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))]
        ),
        COLOURS,
    ),
}


def suffix(name: str) -> str:
    return next((ending for kind, ending in SUFFIXES.items() if kind in name), ".png")


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_folder_of_all_modes_gives_the_reference_pixels(tmp_path: Path, in_memory: bool) -> None:
    names = sorted(WHOLE)
    for label in ("ant", "bee"):
        (tmp_path / label).mkdir()
        for number, name in enumerate(names):
            (tmp_path / label / f"{number:02}{suffix(name)}").write_bytes(WHOLE[name][0])
    data = open_data(tmp_path, image_size=(HEIGHT, WIDTH), in_memory=in_memory, channels=3)
    plain = Preprocess(3, (HEIGHT, WIDTH), (0.0,) * 3, (1.0,) * 3)
    seen = set()
    for part in (data.train, data.test):
        for index in range(len(part)):
            pixels = part.image(index) if in_memory else plain.pixels(part.encoded(index))
            # One set is in memory: its rows tell the file as well as its name does.
            matches = [name for name in names if _same(pixels, name)]
            assert matches, (index, pixels)
            seen.update(matches)
    assert seen == set(names)


def _same(pixels: np.ndarray, name: str) -> bool:
    data, reference = WHOLE[name]
    if reference is None:
        reference = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return np.array_equal(pixels, reference)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def compressed_png(
    width: int, height: int, depth: int, colour_type: int, row_bytes: int, extra: bytes
) -> bytes:
    """A PNG whose rows are all zero, packed row by row."""
    packer = zlib.compressobj(9)
    rows = b"".join([*(packer.compress(bytes(row_bytes + 1)) for _ in range(height)), packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tiff(**tags: int) -> bytes:
    """A grey 8×8 TIFF whose other tags say what they like."""
    numbers = {
        "width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262, "offsets": 273,
        "samples": 277, "rows": 278, "counts": 279, "tile_width": 322, "tile_height": 323,
        "tile_offsets": 324, "tile_counts": 325,
    }  # fmt: skip
    known = {"width": 8, "height": 8, "bits": 8, "compression": 5, "photometric": 1, "samples": 1} | tags
    entries = sorted((numbers[name], value) for name, value in known.items())
    body = b"".join(struct.pack("<HHII", number, 4, 1, value) for number, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(104)


def gif(screen: tuple[int, int], frame: tuple[int, int]) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + bytes(6)
    return head + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x44\x01\0;"


def webp(side: int) -> bytes:
    body = b"VP8L" + struct.pack("<IBI", 25, 0x2F, (side - 1) | (side - 1) << 14) + bytes(21)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


BOMBS = {
    "more pixels than allowed.png": png(60_000, 60_000, 1, 0, b""),
    "a side longer than allowed.png": png(1, MAX_SIDE + 1, 8, 0, b""),
    "no pixels.png": png(0, 5, 8, 0, b""),
    "pixels that overflow.png": png(2**31 - 1, 2**31 - 1, 8, 6, b""),
    "text of 2 GB.png": png(
        8, 8, 8, 0, bytes(72), b"".join([chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(50 << 20)))] * 40)
    ),
    "profile of 200 MB.png": png(
        8, 8, 8, 0, bytes(71), chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(200 << 20)))
    ),
    "large screen.gif": gif((65_535, 65_535), (1, 1)),
    "large frame.gif": gif((1, 1), (65_535, 65_535)),
    "large.webp": webp(16_383),
    "strip of 4 GB.tif": tiff(offsets=150, rows=0xFFFFFFF0, counts=0x7FFFFFFF),
    "tile of 4 GB.tif": tiff(tile_width=65_536, tile_height=65_536, tile_offsets=150, tile_counts=50),
    "plain tile of 4 GB.tif": tiff(
        compression=1, tile_width=65_536, tile_height=65_536, tile_offsets=150, tile_counts=50
    ),
}
FAULTS = {
    "empty.png": b"",
    "text.png": b"just a text\n",
    "page.png": b"<html><script>alert(1)</script>",
    "cut.png": encoded(Image.fromarray(COLOURS), "PNG")[:60],
    "cut.jpg": encoded(Image.new("RGB", (64, 64), (9, 80, 9)), "JPEG")[:300],
    "header only.gif": b"GIF89a",
    "archive.png": b"PK\x03\x04" + bytes(40),
}
_LIMITED = """
import json, resource, sys
from pathlib import Path
from ssal.data import Preprocess
from ssal.errors import DataError

preprocess = Preprocess(3, (32, 32), (0.0,) * 3, (1.0,) * 3)
for folder, megabytes in zip(sys.argv[1::2], sys.argv[2::2]):
    pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (pages + (int(megabytes) << 20), resource.RLIM_INFINITY))
    before, results = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, {}
    for file in sorted(Path(folder).iterdir()):
        try:
            results[file.name] = list(preprocess.pixels(file).shape)
        except DataError as error:
            results[file.name] = str(error)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"results": results, "megabytes": grown / 1024}))
"""


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Bombs decoded with 600 MB of address space to spare, and the largest images allowed with 1.4 GB."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc to limit the memory")
    root = tmp_path_factory.mktemp("limited")
    bombs, largest = root / "bombs", root / "largest"
    bombs.mkdir()
    largest.mkdir()
    for name, content in (BOMBS | FAULTS).items():
        (bombs / name).write_bytes(content)
    side = int(MAX_PIXELS**0.5)
    palette = chunk(b"PLTE", bytes(768)) + chunk(b"tRNS", bytes(128))
    (largest / "palette.png").write_bytes(compressed_png(side, side, 8, 3, side, palette))
    (largest / "column.png").write_bytes(compressed_png(MAX_PIXELS // MAX_SIDE, MAX_SIDE, 1, 0, 171, b""))
    depths = Image.fromarray(np.zeros((side, side), np.float32))
    depths.save(largest / "float.tif", compression="tiff_adobe_deflate")
    arguments = [sys.executable, "-c", _LIMITED, bombs, "600", largest, "1400"]
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_bombs_are_refused_without_memory(limited: list[dict[str, Any]]) -> None:
    results = limited[0]["results"]
    assert set(results) == set(BOMBS) | set(FAULTS)
    for name, result in results.items():
        assert isinstance(result, str) and name in result and "\n" not in result, (name, result)
    print(f"{len(results)} files, {limited[0]['megabytes']:.0f} MB")
    assert limited[0]["megabytes"] < 100


def test_the_largest_images_that_are_allowed_take_little_more_than_a_gigabyte(
    limited: list[dict[str, Any]],
) -> None:
    assert set(map(str, limited[1]["results"].values())) == {"[32, 32, 3]"}, limited[1]
    print(f"{MAX_PIXELS:,} pixels, {limited[1]['megabytes']:.0f} MB")
    assert limited[1]["megabytes"] < 1400


def test_a_folder_of_faults_is_predicted_row_by_row(tmp_path: Path) -> None:
    """No traceback, one row each, and the sound images among them are predicted."""
    run, folder = write_run(tmp_path / "run"), tmp_path / "images"
    folder.mkdir()
    for name, content in (BOMBS | FAULTS).items():
        (folder / name).write_bytes(content)
    for number, name in enumerate(sorted(WHOLE)):
        (folder / f"good {number}{suffix(name)}").write_bytes(WHOLE[name][0])
    done = ssal("predict", run, folder)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"ssal: {len(BOMBS | FAULTS)} of {len(BOMBS | FAULTS | WHOLE)} images could not be read; "
        "see their rows"
    ]
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert {Path(record["file"]).name for record in records if record["error"]} == set(BOMBS | FAULTS)
    assert sum(record["error"] is None for record in records) == len(WHOLE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_predicted_like_the_upright_one(tmp_path: Path, orientation: int) -> None:
    upright = np.kron(np.array([[10, 80], [150, 250]]), np.ones((16, 16))).astype(np.uint8)
    turn = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: upright.T[::-1], 7: upright.T[::-1, ::-1], 8: upright.T[:, ::-1],
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(turn[orientation])).save(tmp_path / "turned.png", exif=exif)
    plain = Preprocess(1, (32, 32), (0.0,), (1.0,))
    assert np.array_equal(plain.pixels(tmp_path / "turned.png")[:, :, 0], upright)
