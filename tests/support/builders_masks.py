"""Small mask pools in a store, and what an expert might draw for them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from anomaly_gan.config import MaskConfig
from anomaly_gan.masks.pool.index import MaskPoolIndex
from infra.settings import Settings
from infra.storage.protocol import Storage
from jobs.library.maskpools.build import BuildResult, PoolSources, build_mask_pool
from tests.support.builders_jobs import TRAIN_JOB, put_dataset, put_model
from tests.support.sources import png

POOL = "drawn"
CANVAS = (40, 48)
"""Height and width of what experts draw on; the data set of `put_dataset` is of another size."""


def bar(top: int = 4, left: int = 6, height: int = 20, width: int = 6) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A mask picture of CANVAS: a filled box, {0, 255}."""
    mask = np.zeros(CANVAS, np.uint8)
    mask[top : top + height, left : left + width] = 255
    return mask


def labelme(*shapes: tuple[str, list[list[float]]]) -> bytes:
    """Polygons (label, points) on CANVAS."""
    drawn = [{"label": label, "points": points, "shape_type": "polygon"} for label, points in shapes]
    stated = {"imagePath": "a.png", "imageData": None, "imageHeight": CANVAS[0], "imageWidth": CANVAS[1]}
    return json.dumps({"shapes": drawn, **stated}).encode()


def coco(*boxes: tuple[str, list[float]]) -> bytes:
    """Boxes (category, [left, top, width, height]) on CANVAS."""
    names = sorted({name for name, _ in boxes})
    return json.dumps(
        {
            "images": [{"id": 1, "file_name": "a.png", "height": CANVAS[0], "width": CANVAS[1]}],
            "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
            "annotations": [
                {"id": number, "image_id": 1, "category_id": names.index(name), "bbox": box}
                for number, (name, box) in enumerate(boxes)
            ],
        }
    ).encode()


EXPERT_FILES = {
    "mei.json": labelme(("crack", [[4, 4], [30, 4], [30, 12], [4, 12]]), ("hole", [[20, 20], [34, 20], [34, 34]])),
    "coco.json": coco(("crack", [2, 3, 20, 10])),
    "boxes.csv": b"class,left,top,width,height,image_width,image_height\nhole,5,6,12,9,48,40\n",
    "crack/jan.png": png(bar()),
}
"""Each form that experts may send: three cracks and two holes."""


def put_files(folder: Path, files: dict[str, bytes]) -> str:
    """Write files below a folder; returns its path."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return str(folder)


def built(storage: Storage, dataset: str = "tiles", name: str = POOL, **sources: Any) -> BuildResult:
    """A pool of `dataset`; the other arguments are those of `PoolSources`."""
    return build_mask_pool(storage, name, PoolSources(dataset, **sources), Settings())


def put_pool(storage: Storage, folder: Path, dataset: str = "tiles", name: str = POOL, **sources: Any) -> MaskPoolIndex:
    """A pool of `dataset` with EXPERT_FILES, which are written below the folder."""
    experts = put_files(folder / "experts", EXPERT_FILES)
    return built(storage, dataset, name, experts=[experts], **sources).index


def put_ruled_pool(storage: Storage, folder: Path) -> MaskPoolIndex:
    """A data set, and a pool of it that has rules of its own for `crack`; as `put_pool`."""
    put_dataset(storage)
    rules = folder / "rules.yaml"
    rules.write_text("crack: {pose: fixed, max_parts: 3, rationality: 0.5}\nhole: {max_parts: 1}")
    return put_pool(storage, folder, rules=rules)


def put_model_of_pool(storage: Storage, index: MaskPoolIndex, masks: MaskConfig) -> str:
    """A very small model that says it was trained with a pool and these rules; returns its id."""
    put_model(storage)
    key = f"models/{TRAIN_JOB}/model.json"
    description = json.loads(storage.read(key))
    description["record"]["mask_pool"] = f"{index.name}@{index.version}"
    description["train"]["masks"] = masks.model_dump(mode="json")
    storage.write(key, json.dumps(description).encode())
    return TRAIN_JOB
