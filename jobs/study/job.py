"""The study job: the cells of its grid, then one report of all."""

import json

from anomaly_gan.evaluation.arms import parse_arms
from anomaly_gan.reports.cell_table import cells_csv
from anomaly_gan.reports.evaluation import render_report
from jobs.record.context import JobContext
from jobs.record.manifest import OutputWriter
from jobs.spec.specs import StudySpec
from jobs.study.cells import HandOut, compare
from jobs.study.grid import grid_of_study
from jobs.study.report_facts import study_data


def study(context: JobContext[StudySpec], hand_out: HandOut | None = None) -> None:
    """Train what the store lacks, judge, and make the results visible.

    Args:
        hand_out: who trains; None = workers on the cluster.

    Raises:
        AganError: no cell at all has a result.
    """
    spec = context.spec
    grid = grid_of_study(context.storage, spec)
    comparisons = compare(context, grid, parse_arms(spec.arms), spec.learners, spec.seeds, hand_out)
    outputs = OutputWriter(context.storage, context.job_id)
    outputs.write("report.html", render_report(study_data(context, grid, comparisons)).encode())
    outputs.write("cells.csv", cells_csv(comparisons).encode())
    figures = {"grid": grid.model_dump(mode="json"), "detectors": [one.model_dump(mode="json") for one in comparisons]}
    outputs.write("study.json", json.dumps(figures, indent=1).encode())
    outputs.commit()
