"""Synthetic samples as a COCO instances document, masks as uncompressed run lengths."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.data import Sample
from anomaly_gan.masks.pool import instance_map


def run_lengths(mask: NDArray[np.uint8]) -> dict[str, list[int]]:
    """COCO's uncompressed RLE: counts of 0s and 1s in turn, column by column, beginning with 0s.

    Args:
        mask: [H, W] {0, 1}.
    """
    flat = np.concatenate([[0], mask.T.ravel(), [2]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], changes])).tolist()
    return {"size": list(mask.shape), "counts": counts}


def coco_rows(samples: Sequence[Sample], shard: str) -> list[dict[str, Any]]:
    """One row per image, with its instances; ids are given by `coco_document`."""
    rows = []
    for sample in samples:
        height, width = sample.image.shape[:2]
        instances = []
        for name in sorted(sample.masks):
            labels = instance_map(sample, name)
            for label in np.unique(labels[labels > 0]):  # annotated numbers may have gaps
                instances.append({"class": name, **_instance((labels == label).astype(np.uint8))})
        rows.append(
            {
                "file_name": f"{sample.key}.image.png",
                "shard": shard,
                "width": width,
                "height": height,
                "instances": instances,
            }
        )
    return rows


def _instance(mask: NDArray[np.uint8]) -> dict[str, Any]:
    rows, columns = np.nonzero(mask)
    left, top = int(columns.min()), int(rows.min())
    return {
        "bbox": [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1],
        "area": int(mask.sum()),
        "segmentation": run_lengths(mask),
    }


def part_boxes(mask: NDArray[np.uint8]) -> list[list[int]]:
    """[left, top, width, height] of each 8-connected part of a [H, W] {0, 1} mask, in the order of the rows."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes: list[list[int]] = stats[1:, : cv2.CC_STAT_HEIGHT + 1].tolist()
    return boxes


def coco_document(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The whole document; images are numbered from 1 in the order of the rows, categories by name."""
    names = sorted({instance["class"] for row in rows for instance in row["instances"]})
    category = {name: number for number, name in enumerate(names, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, row in enumerate(rows, 1):
        images.append({"id": image_id, **{k: v for k, v in row.items() if k != "instances"}})
        for instance in row["instances"]:
            shape = {key: value for key, value in instance.items() if key != "class"}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category[instance["class"]],
                    "iscrowd": 0,
                    **shape,
                }
            )
    categories = [{"id": number, "name": name} for name, number in category.items()]
    return {"images": images, "annotations": annotations, "categories": categories}
