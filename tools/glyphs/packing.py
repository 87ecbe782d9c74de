"""Write the arrays with the same bytes on every run."""

import io
import json
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glyphs import render
from glyphs.sources import FREETYPE, PILLOW


def metadata() -> str:
    """What produced the file, as JSON."""
    settings = {
        "format": 1,
        "pillow": PILLOW,
        "freetype": FREETYPE,
        "seed": render.SEED,
        "cell": render.CELL,
        "levels": render.LEVELS + 1,
        "cap_height": render.CAP_HEIGHT,
        "baseline": render.BASELINE,
        "scale_range": render.SCALE_RANGE,
        "shift_range": render.SHIFT_RANGE,
        "oversampling": render.OVERSAMPLING,
    }
    return json.dumps(settings, sort_keys=True)


def npz_bytes(arrays: dict[str, NDArray[Any]]) -> bytes:
    """Pack arrays as `numpy.savez_compressed` does, but with a fixed date, order, permissions and system."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array, order="C"), (1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.create_system, entry.external_attr = (
                zipfile.ZIP_DEFLATED,
                3,
                0o644 << 16,
            )
            archive.writestr(entry, member.getvalue(), compresslevel=9)
    return buffer.getvalue()
