"""The generate job: shards made by actors on the cluster, each a pure function of (spec, shard number)."""

import json
import time
from typing import Any, cast

import ray
import torch
from ray.util import ActorPool

from anomaly_gan.coco_export import coco_document, coco_rows
from anomaly_gan.data import encode_png, encode_sample
from anomaly_gan.generation import Generated
from anomaly_gan.generation import generate as generate_images
from anomaly_gan.metrics.mask_change import MaskChange, summarise
from anomaly_gan.sheets import class_colors, contact_sheet, sample_tile
from infra.digest import sha256
from infra.shards import write_shard
from jobs.context import JobContext, context_from_plain
from jobs.inputs import load_training_split
from jobs.manifest import Output, OutputWriter
from jobs.models import load_model
from jobs.record import job_key
from jobs.spec import GenerateSpec

SHEET_TILES = 24
SHEET_COLUMNS = 6
SHEET_TILE_PX = 192


SHARD_PREFIX = "shards/"


def shard_name(number: int) -> str:
    return f"{SHARD_PREFIX}generated-{number:06d}.tar"


def generate(context: JobContext) -> None:
    """Make all shards, then the COCO file, the sheet and the summary; visible only when complete."""
    spec = cast(GenerateSpec, context.spec)
    resources = spec.resources
    reporter, outputs = context.reporter(), OutputWriter(context.storage, context.job_id)
    maker = ray.remote(
        num_cpus=resources.cpus_per_worker,
        num_gpus=resources.gpus_per_worker,
        max_restarts=resources.max_failures,
        max_task_retries=resources.max_failures,
    )(ShardMaker)
    numbers = range(-(-spec.count // spec.images_per_shard))
    workers = min(resources.workers, len(numbers))
    pool = ActorPool([maker.remote(context.to_plain()) for _ in range(workers)])
    results: dict[int, dict[str, Any]] = {}
    done = 0
    reporter.update("generating", 0, spec.count, "images")
    for result in pool.map_unordered(lambda actor, number: actor.make.remote(number), list(numbers)):
        results[result["number"]] = result
        outputs.add(Output.model_validate(result["output"]))
        done += result["images"]
        reporter.update("generating", done, spec.count, "images", images_per_sec=result["images_per_sec"] * workers)
        print(f"shard {result['number']}: {done}/{spec.count} images", flush=True)
    _finish(outputs, [results[number] for number in numbers], spec)


def _finish(outputs: OutputWriter, results: list[dict[str, Any]], spec: GenerateSpec) -> None:
    rows = [row for result in results for row in result["coco"]]
    outputs.write("annotations.coco.json", json.dumps(coco_document(rows), separators=(",", ":")).encode())
    measures = [MaskChange(**values) for result in results for values in result["measures"]]
    summary = {
        "model": spec.model,
        "class_name": results[0]["class_name"],
        "dataset": results[0]["dataset"],
        "images": len(measures),
        "shards": [result["output"] for result in results],
        "measures": summarise(measures),
    }
    outputs.write("summary.json", json.dumps(summary, indent=1).encode())
    tiles = [tile for result in results for tile in result["tiles"]][:SHEET_TILES]
    outputs.write("sheet.png", encode_png(contact_sheet(tiles, SHEET_COLUMNS, SHEET_TILE_PX)))
    outputs.commit()


class ShardMaker:
    """One actor: the generator and the normal images stay in memory; work comes by shard number."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.context = context_from_plain(raw)
        self.spec = cast(GenerateSpec, self.context.spec)
        torch.set_num_threads(self.spec.resources.cpus_per_worker)
        device = torch.device("cuda" if self.spec.resources.gpus_per_worker else "cpu")
        self.snapshot = load_model(self.context.storage, self.spec.model, device)
        split = load_training_split(
            self.context.storage, self.snapshot.record["dataset"], self.snapshot.class_name, self.spec.mask_pool
        )
        self.plan = split.plan(self.snapshot.view, self.spec.masks, self.spec.generation)

    def make(self, number: int) -> dict[str, Any]:
        """Write shard `number`; made twice it is written twice, byte for byte the same."""
        started = time.perf_counter()
        made = self._images(number)
        shard = write_shard((one.sample.key, encode_sample(one.sample)) for one in made)
        name = shard_name(number)
        self.context.storage.write(job_key(self.context.job_id, f"out/{name}"), shard.data)
        colors = class_colors([self.snapshot.class_name])
        return {
            "number": number,
            "images": len(made),
            "images_per_sec": len(made) / (time.perf_counter() - started),
            "output": {"name": name, "size_bytes": len(shard.data), "sha256": sha256(shard.data)},
            "class_name": self.snapshot.class_name,
            "dataset": self.snapshot.record["dataset"],
            "coco": coco_rows([one.sample for one in made], name),
            "measures": [one.sample.meta["measures"] for one in made],
            "tiles": [sample_tile(one.sample, SHEET_TILE_PX, colors) for one in made[:SHEET_TILES]]
            if number * self.spec.images_per_shard < SHEET_TILES
            else [],
        }

    def _images(self, number: int) -> list[Generated]:
        first = number * self.spec.images_per_shard
        indices = range(first, min(first + self.spec.images_per_shard, self.spec.count))
        size = self.spec.generation.batch_size
        return [
            one
            for start in range(0, len(indices), size)
            for one in generate_images(self.plan, indices[start : start + size], self.snapshot.generator)
        ]
