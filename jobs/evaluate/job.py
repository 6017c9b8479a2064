"""The evaluate job: measures of the images, detectors on several arms, one HTML report."""

import json

import ray

from anomaly_gan.drawing.grids import sample_grid
from anomaly_gan.evaluation.arms import parse_arms
from anomaly_gan.reports.cell_table import cells_csv
from anomaly_gan.reports.data import Absent
from anomaly_gan.reports.evaluation import render_report
from anomaly_gan.samples.sample import encode_png
from jobs.evaluate.measuring import Measured, measure
from jobs.evaluate.report_facts import report_data
from jobs.record.context import JobContext
from jobs.record.manifest import OutputWriter
from jobs.spec.specs import EvaluateSpec
from jobs.study.cells import compare
from jobs.study.grid import grid_of_evaluation


def evaluate(context: JobContext[EvaluateSpec]) -> None:
    """Measure the images in one task on a worker node, train detectors as a study does, make the results visible."""
    spec, resources = context.spec, context.spec.resources
    task = ray.remote(num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker, max_retries=2)(measure)
    measured: Measured = ray.get(task.remote(context.to_plain()))
    grid = grid_of_evaluation(context.storage, spec)
    arms, learner = parse_arms(spec.arm_texts()), spec.detector
    [comparison] = compare(context, grid, arms, [learner], spec.seeds)

    outputs = OutputWriter(context.storage, context.job_id)
    outputs.write("grid.png", encode_png(sample_grid(measured.rows)))
    page = render_report(report_data(context, grid, measured, comparison))
    outputs.write("report.html", page.encode())
    outputs.write("cells.csv", cells_csv([comparison]).encode())
    measures, feature_map = measured.measures, measured.feature_map
    figures = {
        "measures": {"trained": measures.trained, "untrained": measures.untrained},
        "perceptual": measured.perceptual.model_dump(mode="json"),
        "realism": measured.realism.model_dump(mode="json"),
        "likeness": measured.likeness.model_dump(mode="json"),
        "feature_map": None if isinstance(feature_map, Absent) else feature_map.model_dump(mode="json"),
        "detectors": comparison.model_dump(mode="json"),
    }
    outputs.write("evaluation.json", json.dumps(figures, indent=1).encode())
    outputs.commit()
