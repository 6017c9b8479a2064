"""All cells as a table for other programs: CSV, one row a cell."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from anomaly_gan.evaluation.comparison import Comparison
from anomaly_gan.reports.detector_sections import CLASS_SCORES, SCORES


def cells_csv(comparisons: Sequence[Comparison]) -> str:
    """A header and a row for each cell; scores 0..1, empty where they were not measured.

    A cell that failed has its reason in the last column, and no scores.
    """
    rows = list(_rows(comparisons))
    columns = dict.fromkeys(name for row in rows for name in row if name != "failed")
    text = io.StringIO()
    writer = csv.DictWriter(text, [*columns, "failed"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _rows(comparisons: Sequence[Comparison]) -> Iterable[dict[str, Any]]:
    for one in comparisons:
        config = {"learner": one.config.name, "steps": one.config.steps, "batch_size": one.config.batch_size}
        for cell in one.cells:
            row: dict[str, Any] = {**config, "arm": cell.arm, "seed": cell.seed}
            row |= {f"shown {name}": count for name, count in cell.shown.items()}
            row |= {f"pictures {name}": count for name, count in cell.pictures.items()}
            row |= {name: score(cell) for name, score in SCORES.items()}
            if len(one.classes) > 1:
                row |= {
                    f"{score} {name}": read(cell, name) for score, read in CLASS_SCORES.items() for name in one.classes
                }
            yield row
        for failed in one.failed:
            yield {**config, "arm": failed.arm, "seed": failed.seed, "failed": failed.reason}
