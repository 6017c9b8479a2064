"""A cell as one file: NumPy's .npz of its result as JSON, and of the counts of its test pictures.

All that a verdict needs is in it, so cells of different times and machines can be judged together.
"""

import io
from typing import Any

import numpy as np

from anomaly_gan.evaluation.cells import Cell, CellResult
from anomaly_gan.metrics.pixels import BINS, PictureCounts
from infra.errors import DataError

RESULT, GROUPS = "result", "groups"
PIXELS = ("positives", "negatives", "overlap")
"""Arrays of [pictures, BINS]; nearly all bins are empty, so they are small when compressed."""


def cell_bytes(cell: Cell) -> bytes:
    """The same cell gives the same bytes."""
    file, counts = io.BytesIO(), cell.counts
    arrays: dict[str, Any] = {
        RESULT: np.frombuffer(cell.result.model_dump_json().encode(), np.uint8),
        GROUPS: np.array(cell.groups, np.str_),
        **{name: np.array([getattr(one, name) for one in counts]).reshape(-1, BINS) for name in PIXELS},
        "parts": np.array([one.parts for one in counts], np.int64),
        "score": np.array([one.score for one in counts], np.float64),
    }
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def read_cell(data: bytes, name: str) -> Cell:
    """Inverse of `cell_bytes`.

    Args:
        name: what a person calls the file.

    Raises:
        DataError: it is no cell.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        counts = [
            PictureCounts(
                positives=positives.astype(np.int64),
                negatives=negatives.astype(np.int64),
                overlap=overlap.astype(np.float64),
                parts=int(parts),
                score=float(score),
            )
            for positives, negatives, overlap, parts, score in zip(
                *(arrays[key] for key in (*PIXELS, "parts", "score")), strict=True
            )
        ]
        result = CellResult.model_validate_json(arrays[RESULT].tobytes())
        return Cell(result, counts, arrays[GROUPS].tolist())
    except Exception as err:  # numpy, zipfile and pydantic each raise their own
        reason = next(iter(str(err).splitlines()), type(err).__name__)
        raise DataError(f"{name}: not a cell of a comparison ({reason}); remove it, so that it is made again") from err
