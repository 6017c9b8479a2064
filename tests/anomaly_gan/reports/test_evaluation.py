"""The report page: self-contained, escaped, honest in its headline, complete about what it leaves away."""

import re
from dataclasses import replace

import numpy as np
import pytest

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.detectors import DETECTORS
from anomaly_gan.drawing.charts import line_chart
from anomaly_gan.drawing.grids import GridRow, change_map, row_pictures, sample_grid
from anomaly_gan.evaluation.comparison import Arm, ArmResult, DetectorComparison
from anomaly_gan.metrics.detection import ClassScores, DetectionScores
from anomaly_gan.metrics.mask_change import measure, summarise
from anomaly_gan.metrics.perceptual import LpipsScore
from anomaly_gan.reports.evaluation import Absent, Chart, MeasureTable, ReportData, Setting, render_report
from anomaly_gan.reports.headline import headline


def row(size: int = 32) -> GridRow:
    normal = np.random.default_rng(0).integers(60, 120, (size, size), dtype=np.uint8)
    mask = np.zeros((size, size), np.uint8)
    mask[8:16, 8:16] = 1
    raw = normal + mask * np.uint8(100)
    return GridRow(normal, mask, raw, raw, caption="gen-000000")


def comparison(
    real_ap: float, both_ap: float, instances: int = 200, miou: float = 0.5, detector: str = "mask_rcnn"
) -> DetectorComparison:
    def arm(name: Arm, generated: int, ap: float, iou: float) -> ArmResult:
        of_masks = {"mask_ap": ap, "mask_ap50": ap} if DETECTORS[detector].has_masks else {}
        each = ClassScores(box_ap=ap, box_ap50=ap, **of_masks, iou=iou if of_masks else None, instances=instances)
        scores = DetectionScores(
            box_ap=ap,
            box_ap50=ap,
            **of_masks,
            miou=iou if of_masks else None,
            per_class={"hole": each, "crack": each},
            images=20,
            instances=instances,
        )
        return ArmResult(
            arm=name,
            real_images=30,
            generated_images=generated,
            steps=10,
            images_shown=40,
            losses=(1.0,),
            scores=scores,
        )

    return DetectorComparison(
        real=arm("real", 0, real_ap, 0.5),
        real_and_generated=arm("real+generated", 100, both_ap, miou),
        classes=("hole", "crack"),
        config=DetectorConfig(name=detector),
    )


@pytest.fixture
def full() -> ReportData:
    picture = row()
    change = measure(picture.normal, picture.raw, picture.pasted, picture.mask, 0)
    return ReportData(
        title="Evaluation of hole",
        facts={"job": "evaluate-1", "data set": "tiles@abc"},
        rows=[picture, picture],
        measures=MeasureTable(summarise([change]), summarise([change])),
        lpips=[LpipsScore("lpips_real", 0.42, 6, 3, 2, "AlexNet 7be5be79")],
        detectors=comparison(0.2, 0.3),
        charts=[Chart("Losses", {"loss_cycle": [(1, 2.0), (2, 1.0)]})],
        settings=[Setting("train.loss.lambda_1", "0.3", "default")],
        provenance={"torch": "2.14.1"},
    )


def test_the_page_requests_nothing(full: ReportData) -> None:
    page = render_report(full)
    assert not re.search(r"https?:|<script|<link|<iframe|@import|url\(", page)
    sources = re.findall(r'src="([^"]{22})', page)
    assert set(sources) == {"data:image/png;base64,"}


def test_the_page_holds_every_section_it_is_given(full: ReportData) -> None:
    page = render_report(full)
    assert page.count("<img") == 2 * len(row_pictures(row()))
    assert page.count("<svg") == 1
    for text in ("evaluate-1", "gen-000000", "mask_hit", "0.420", "AlexNet 7be5be79", "lambda_1", "2.14.1"):
        assert text in page
    assert "Not in this report" not in page


def test_every_section_left_away_says_why() -> None:
    page = render_report(ReportData(title="Empty", facts={}, lpips=Absent("LPIPS needs alexnet.pth")))
    assert "Not in this report: LPIPS needs alexnet.pth." in page
    assert page.count("Not in this report") == 6
    assert "<img" not in page


def test_text_is_escaped_everywhere(full: ReportData) -> None:
    evil = "<script>alert(1)</script>"
    values = {**vars(full), "title": evil, "facts": {evil: evil}, "provenance": {evil: evil}}
    values |= {
        "charts": [Chart(evil, {evil: [(1, 1)]}, evil, evil)],
        "settings": [Setting(evil, evil, evil)],
        "lpips": Absent(evil),
    }
    page = render_report(ReportData(**values))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 10


@pytest.mark.parametrize(
    ("real", "both", "verdict", "words"),
    [
        (0.20, 0.30, "gain", "raised mask AP by 10.0 points, from 20.0 to 30.0"),
        (0.30, 0.20, "loss", "lowered mask AP by 10.0 points, from 30.0 to 20.0: they did harm"),
        (0.30, 0.31, "no clear change", "made no clear difference"),
        (0.30, 0.29, "no clear change", "made no clear difference"),
    ],
)
def test_the_headline_calls_a_gain_a_loss_and_a_draw_by_name(
    real: float, both: float, verdict: str, words: str
) -> None:
    said = headline(comparison(real, both))
    assert said.verdict == verdict
    assert words in said.sentence


def test_the_headline_warns_of_a_small_test_set_and_of_a_single_seed() -> None:
    assert any("4 anomalies in 20 images" in caveat for caveat in headline(comparison(0.2, 0.4, 4)).caveats)
    assert not any("small" in caveat for caveat in headline(comparison(0.2, 0.4)).caveats)
    assert any("One training run per arm (seed 0)" in caveat for caveat in headline(comparison(0.2, 0.4)).caveats)


def test_the_headline_warns_when_scores_disagree_and_when_nothing_was_learned() -> None:
    assert any("do not agree" in caveat for caveat in headline(comparison(0.2, 0.4, miou=0.3)).caveats)
    assert any("next to nothing" in caveat for caveat in headline(comparison(0.0, 0.01)).caveats)


def test_a_detector_without_a_backbone_is_shown_without_one(full: ReportData) -> None:
    page = render_report(replace(full, detectors=comparison(0.2, 0.3, detector="segmenter")))
    assert "<p>Segmenter trained on" in page and "backbone" not in page


def test_a_detector_of_boxes_is_judged_by_box_ap_and_its_page_shows_no_score_of_masks(full: ReportData) -> None:
    compared = comparison(0.2, 0.3, detector="faster_rcnn")
    said = headline(compared)
    assert [figure.name for figure in said.figures] == ["box AP"]
    assert said.sentence == "Adding 100 generated images raised box AP by 10.0 points, from 20.0 to 30.0."
    assert any("next to nothing" in caveat for caveat in headline(comparison(0, 0, detector="faster_rcnn")).caveats)
    boxes, masks = render_report(replace(full, detectors=compared)), render_report(full)
    assert "Faster R-CNN (mobilenet" in boxes and "Mask R-CNN" not in boxes
    assert "Mask AP and mIoU are not measured: this detector finds boxes, no masks." in boxes
    assert "not measured" not in masks
    for heading in ("mask AP</th>", "mask AP50</th>", "mIoU</th>"):
        assert heading in masks and heading not in boxes
    rows = [re.findall(r"<td", row) for row in re.findall(r"<tr.*?</tr>", boxes.split("Does a detector")[1], re.S)]
    assert [len(cells) for cells in rows[1:7]] == [5] * 6  # class, arm, box AP, box AP50, test anomalies


def test_the_grid_has_one_row_per_image_and_the_clean_result_beside_the_outlined_one() -> None:
    one, two = sample_grid([row()]), sample_grid([row(), row()])
    assert one.dtype == np.uint8
    assert one.shape[2] == 3
    assert two.shape[0] - one.shape[0] == 128 + 6  # 32-px images are enlarged four times
    pictures = row_pictures(row())
    assert np.array_equal(pictures["generated"][..., 0], row().pasted)
    assert not np.array_equal(pictures["generated, outlined"], pictures["generated"])


def test_the_change_map_is_dark_where_nothing_changed_and_brightest_from_64_levels_on() -> None:
    dark, bright = np.full((4, 4), 50, np.uint8), np.full((4, 4), 114, np.uint8)
    assert change_map(dark, dark).max() < 8
    assert np.array_equal(change_map(dark, bright), change_map(dark, bright + 60))


def test_a_chart_draws_one_line_per_curve_and_skips_points_that_are_not_finite() -> None:
    svg = line_chart({"a": [(1, 1.0), (2, float("nan")), (3, 2.0)], "b": [(1, 0.0)]}, "step", "loss")
    lines = re.findall(r'points="([^"]*)"', svg)
    assert [len(line.split()) for line in lines] == [2, 1]
    assert "nan" not in svg


def test_a_long_curve_is_thinned_and_an_empty_chart_still_draws_axes() -> None:
    long = line_chart({"a": [(float(x), 1.0) for x in range(5000)]}, "step", "loss")
    (points,) = re.findall(r'points="([^"]*)"', long)
    assert 100 < len(points.split()) <= 200
    assert "<svg" in line_chart({"a": []}, "step", "loss")
