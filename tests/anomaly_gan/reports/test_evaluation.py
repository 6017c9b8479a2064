"""The report page: self-contained, escaped, honest in its headline, complete about what it leaves away."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.detectors import DETECTORS
from anomaly_gan.drawing.charts import interval_chart, line_chart
from anomaly_gan.drawing.grids import GridRow, change_map, row_pictures, sample_grid
from anomaly_gan.evaluation.beside import Beside
from anomaly_gan.evaluation.cells import CellResult, FailedCell
from anomaly_gan.evaluation.comparison import Comparison
from anomaly_gan.evaluation.feature_map import FeatureMap, MappedSet
from anomaly_gan.evaluation.likeness import Likeness
from anomaly_gan.evaluation.perceptual import Perceptual
from anomaly_gan.evaluation.realism import RealismSet, RealismTable
from anomaly_gan.evaluation.verdict import Interval, Verdict, Word
from anomaly_gan.metrics.bands import Band
from anomaly_gan.metrics.detection import ClassScores, DetectionScores
from anomaly_gan.metrics.diversity import Diversity
from anomaly_gan.metrics.features.network import FeatureSource
from anomaly_gan.metrics.features.scores import SCORES, FeatureFloor, FeatureScores, MeanAndDeviation
from anomaly_gan.metrics.mask_change import measure, summarise
from anomaly_gan.metrics.pixels import PixelScores
from anomaly_gan.metrics.two_sample import TwoSample
from anomaly_gan.reports.data import Absent, Chart, MeasureTable, ReportData, Setting
from anomaly_gan.reports.evaluation import render_report
from anomaly_gan.reports.headline import headline, judged_arm

GENERATED = "real+generated:generate-1"


def row(size: int = 32) -> GridRow:
    normal = np.random.default_rng(0).integers(60, 120, (size, size), dtype=np.uint8)
    mask = np.zeros((size, size), np.uint8)
    mask[8:16, 8:16] = 1
    raw = normal + mask * np.uint8(100)
    return GridRow(normal, mask, raw, raw, caption="gen-000000")


def comparison(word: Word = "helps", difference: float = 0.1, detector: str = "segmenter") -> Comparison:
    """Two arms of two seeds; without maps where the detector has none."""
    has_masks = DETECTORS[detector].has_masks

    def cell(arm: str, seed: int, ap: float) -> CellResult:
        of_masks = {"mask_ap": ap, "mask_ap50": ap, "miou": ap} if has_masks else {}
        each = ClassScores(box_ap=ap, box_ap50=ap, instances=20)
        pixels = PixelScores(
            pixel_ap=ap, pixel_auroc=ap, f1_max=ap, threshold=0.5, pro=ap, image_auroc=None,
            pictures=20, anomalous_pictures=10, instances=20,
        )  # fmt: skip
        return CellResult(
            arm=arm,
            seed=seed,
            shown={"normal": 20, "real": 20} if arm == "none" else {"normal": 20, "real": 10, "generated": 10},
            pictures={"normal": 5, "real": 5, **({} if arm == "none" else {"generated": 96})},
            losses=(1.0,),
            scores=DetectionScores(
                box_ap=ap, box_ap50=ap, **of_masks, per_class={"hole": each}, images=20, instances=20
            ),
            pixels=pixels if has_masks else None,
        )

    half = 0.05 if word != "undecided" else 0.3
    spread: dict[str, Any] = {"seeds": 2, "groups": 8, "seed_deviation": 0.01, "group_deviation": 0.02}
    real, made = 0.4, 0.4 + difference
    arms = (("none", real), (GENERATED, made))
    verdict = Verdict(
        word=word,
        difference=difference,
        low=difference - half,
        high=difference + half,
        enough="Five seeds would decide it." if word == "undecided" else None,
        **spread,
    )
    intervals = {arm: Interval(mean=ap, low=ap - 0.1, high=ap + 0.1, **spread) for arm, ap in arms}
    return Comparison(
        cells=tuple(cell(arm, seed, ap) for seed in (0, 1) for arm, ap in arms),
        pixel_ap=intervals if has_masks else {},
        verdicts={GENERATED: verdict} if has_masks else {},
        classes=("hole",),
        config=DetectorConfig(name=detector),
    )


def likeness() -> Likeness:
    source: dict[str, Any] = {"network": "lite0", "sha256": "5793" * 16, "input": "resized"}
    scores = FeatureScores(
        **source, kid=0.25, kid_deviation=0.1, kid_subset=3, frechet_name="frechet", precision=0.5, recall=0.75,
        density=1.0, coverage=0.875, compared=3, missing={"frechet": "too few"}, real=9, generated=3,
    )  # fmt: skip
    floor = FeatureFloor(
        **source,
        scores={name: None if name == "frechet" else MeanAndDeviation(mean=0.5, deviation=0.25) for name in SCORES},
        frechet_name="frechet",
        missing={"frechet": "too few"},
        compared=4,
        real=9,
        halvings=10,
    )
    test = TwoSample(p_value=0.004, units=(9, 30))
    return Likeness(sets={"generated": scores}, floor=floor, two_sample={"generated": test})


def feature_map() -> FeatureMap:
    test = TwoSample(p_value=0.004, units=(9, 30))
    return FeatureMap(
        real=((0.0, 0.0), (4.0, 2.0)),
        real_crops=2,
        sets={
            "untrained generator": MappedSet(places=((9.0, 9.0),), crops=1, two_sample=test),
            "generated": MappedSet(places=((1.0, 1.0), (3.0, 0.0), (2.0, 2.0)), crops=96, two_sample=None),
        },
        source=FeatureSource(network="lite0", sha256="57" * 32, input="resized"),
    )


def perceptual() -> Perceptual:
    real = Diversity(pictures=9, to_real=0.3, among=0.3, within_clusters=None, clusters=0)
    made = Diversity(pictures=30, to_real=0.42, among=0.25, within_clusters=0.125, clusters=4)
    return Perceptual(networks={"AlexNet 7be5be79": {"real, training split": real, "generated": made}})


def realism() -> RealismTable:
    band = Band(low=-40.0, median=-30.0, high=-20.0, n=12)
    real = RealismSet(n=9, medians={"contrast": -31.5, "behind": 0.1}, within={"contrast": 0.875}, kept=None)
    made = RealismSet(n=30, medians={"contrast": -12.25}, within={"contrast": 0.25}, kept=0.4)
    return RealismTable(bands={"contrast": band}, sets={"real, training split": real, "generated": made})


@pytest.fixture
def full() -> ReportData:
    picture = row()
    change = measure(picture.normal, picture.raw, picture.pasted, picture.mask, 0)
    return ReportData(
        title="Evaluation of hole",
        facts={"job": "evaluate-1", "data set": "tiles@abc"},
        rows=[picture, picture],
        beside={"best": [Beside(np.zeros((32, 32), np.uint8), np.ones((64, 64), np.uint8), 0.125)]},
        measures=MeasureTable(summarise([change]), summarise([change])),
        realism=realism(),
        likeness=likeness(),
        feature_map=feature_map(),
        perceptual=perceptual(),
        detectors=[comparison()],
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
    assert page.count("<img") == 2 * len(row_pictures(row())) + 2
    # the curves, a band of realism, two maps of features, the arms' pixel AP, their differences
    assert page.count("<svg") == 6
    for text in ("evaluate-1", "gen-000000", "mask_hit", "0.420", "0.125", "AlexNet 7be5be79", "lambda_1", "2.14.1"):
        assert text in page
    assert "Not in this report" not in page


def test_a_measure_beyond_the_band_of_real_anomalies_is_marked(full: ReportData) -> None:
    page = render_report(full)
    assert '<b class="out">-12.25</b>' in page and '<b class="out">-31.50</b>' not in page
    assert "-40.00 .. -20.00" in page and "12 anomalies" in page
    for text in ("40%", "88%", "25%"):
        assert text in page


def test_sets_stand_below_halves_of_the_real_ones_with_the_test_whether_they_differ(full: ReportData) -> None:
    page = render_report(replace(full, perceptual=None))
    rows = re.findall(r"<tr><td><b>(.*?)</b></td>(.*?)</tr>", page, re.S)
    cells = {name: re.findall(r">([^<]+)</td>", values) for name, values in rows}
    assert cells["halves of the real ones"] == ["4 : 5", "0.5 ± 0.25", "–", *["0.5 ± 0.25"] * 4, "–"]
    assert cells["generated"] == ["9 : 3", "0.25", "–", "0.5", "0.75", "1", "0.875", "0.004 (9 : 30)"]


def test_a_map_has_a_panel_for_each_set_with_its_test_beside_the_same_real_ones(full: ReportData) -> None:
    page = render_report(full)
    panels = re.findall(r'<figure><svg class="map".*?</figcaption>', page)
    assert [re.sub(r"<.*?>", "", panel) for panel in panels] == [
        "untrained generator: 1 anomaly, p&nbsp;=&nbsp;0.004", "generated: 96 anomalies, too few groups for a test",
    ]  # fmt: skip
    marks = [[panel.count(f'class="{kind}"') for kind in ("marked", "reference", "rest")] for panel in panels]
    assert marks == [[1, 2, 3], [3, 2, 1]]
    reference = [re.findall(r'"reference" cx="(.*?)" cy="(.*?)"', panel) for panel in panels]
    assert reference[0] == reference[1]


def test_every_section_left_away_says_why() -> None:
    page = render_report(ReportData(title="Empty", facts={}, perceptual=Absent("LPIPS needs alexnet.pth")))
    assert "Not in this report: LPIPS needs alexnet.pth." in page
    assert page.count("Not in this report") == 10
    assert "<img" not in page


def test_text_is_escaped_everywhere(full: ReportData) -> None:
    evil = "<script>alert(1)</script>"
    values = {**vars(full), "title": evil, "facts": {evil: evil}, "provenance": {evil: evil}}
    values |= {
        "charts": [Chart(evil, {evil: [(1, 1)]}, evil, evil)],
        "settings": [Setting(evil, evil, evil)],
        "perceptual": Perceptual(
            networks={evil: {evil: Diversity(pictures=1, to_real=None, among=None, within_clusters=None, clusters=0)}},
            missing=(evil,),
        ),
        "detectors": [comparison().model_copy(update={"failed": (FailedCell(arm="none", seed=2, reason=evil),)})],
    }
    page = render_report(ReportData(**values))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 10


@pytest.mark.parametrize(
    ("word", "difference", "sentence"),
    [
        ("helps", 0.1, "Adding 96 generated images helps: pixel AP goes from 40.0 to 50.0, +10.0 points (95 % interval"
         " +5.0 to +15.0); 2 seeds, 8 groups of test pictures."),
        ("harms", -0.1, "Adding 96 generated images does harm: pixel AP goes from 40.0 to 30.0, -10.0 points (95 %"
         " interval -15.0 to -5.0); 2 seeds, 8 groups of test pictures."),
        ("undecided", 0.1, "Undecided whether adding 96 generated images helps: pixel AP goes from 40.0 to 50.0, +10.0"
         " points (95 % interval -20.0 to +40.0); 2 seeds, 8 groups of test pictures."),
    ],
)  # fmt: skip
def test_the_headline_says_the_word_with_its_interval(word: Word, difference: float, sentence: str) -> None:
    said = headline([comparison(word, difference)])
    assert (said.word, said.sentence) == (word, sentence)


def test_the_headline_says_that_an_arm_adapts_and_judges_the_one_that_does_not_first() -> None:
    told = comparison().model_dump_json().replace(GENERATED, "adaptive:generate-1")
    sentence = headline([Comparison.model_validate_json(told)]).sentence
    assert sentence.startswith("Adding 96 generated images, more often what is missed, helps: pixel AP goes")
    assert judged_arm(["none", "adaptive:a", "real+generated:a", "generated:a"]) == "real+generated:a"


def test_the_page_is_coloured_by_the_word_alone(full: ReportData) -> None:
    for word in ("helps", "harms", "undecided"):
        page = render_report(replace(full, detectors=[comparison(word)]))
        assert f'<section class="headline {word}">' in page
    assert '<section class="headline ">' in render_report(replace(full, detectors=[comparison(detector="faster_rcnn")]))


def test_an_undecided_headline_says_what_would_decide_it_and_warns_of_a_small_test_set() -> None:
    caveats = headline([comparison("undecided")]).caveats
    assert "Five seeds would decide it." in caveats
    assert "The test set is small: 20 anomalies in 20 pictures." in caveats


def test_a_detector_without_a_backbone_is_shown_without_one(full: ReportData) -> None:
    page = render_report(full)
    assert "<p><b>Segmenter</b>,\ntrained for" in page and "backbone" not in page


def test_a_detector_of_boxes_is_not_judged_and_its_page_shows_no_score_of_masks(full: ReportData) -> None:
    compared = comparison(detector="faster_rcnn")
    said = headline([compared])
    assert said.word is None
    assert said.sentence == (
        "Not judged: this detector finds boxes alone, and the verdict needs its pixels. Box AP is 40.0 with real and"
        " 50.0 with real + generated."
    )
    boxes, masks = render_report(replace(full, detectors=[compared])), render_report(full)
    assert "Faster R-CNN</b> (mobilenet" in boxes
    assert "this detector finds boxes alone" in boxes and "this detector finds boxes alone" not in masks
    for heading in ("pixel AP</th>", "mask AP</th>", "mask AP50</th>", "mIoU</th>"):
        assert heading in masks and heading not in boxes


def test_the_table_gives_mean_and_deviation_over_the_seeds(full: ReportData) -> None:
    varied = comparison()
    cells = [
        cell.model_copy(update={"scores": cell.scores.model_copy(update={"box_ap": 0.2 + 0.1 * cell.seed})})
        for cell in varied.cells
    ]
    page = render_report(replace(full, detectors=[varied.model_copy(update={"cells": tuple(cells)})]))
    assert "25.0 ± 7.1" in page
    assert "20 normal, 10 real, 10 generated" in page


def test_intervals_are_drawn_as_dots_on_lines_with_the_line_of_no_difference() -> None:
    svg = interval_chart({"a": (0.0, -10.0, 10.0), "<b>": (5.0, 4.0, 6.0)}, "points", zero=0.0)
    assert svg.count("<circle") == 2 and svg.count("stroke-linecap") == 2 and "&lt;b&gt;" in svg
    [zero] = re.findall(r'<line x1="([\d.]+)"[^>]*stroke="#1d2429"', svg)
    assert f'cx="{zero}"' in svg


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


def test_a_chart_draws_its_curve_and_skips_points_that_are_not_finite() -> None:
    svg = line_chart([(1, 1.0), (2, float("nan")), (3, 2.0)], "step", "loss")
    [points] = re.findall(r'points="([^"]*)"', svg)
    assert len(points.split()) == 2
    assert "nan" not in svg


def test_a_long_curve_is_thinned_and_an_empty_chart_still_draws_axes() -> None:
    long = line_chart([(float(x), 1.0) for x in range(5000)], "step", "loss")
    (points,) = re.findall(r'points="([^"]*)"', long)
    assert 100 < len(points.split()) <= 200
    assert "<svg" in line_chart([], "step", "loss")


def test_each_curve_of_a_group_has_axes_of_its_own(full: ReportData) -> None:
    curves = {"large": [(1.0, 0.0), (2.0, 900.0)], "small": [(1.0, 0.0), (2.0, 0.003)]}
    page = render_report(replace(full, charts=[Chart("terms", curves)], detectors=Absent("none")))
    charts = re.findall(r"<figcaption>(\w+)</figcaption><svg.*?</svg>", page)
    assert charts == ["large", "small"]
    heights = [points.split()[-1].split(",")[1] for points in re.findall(r'points="([^"]*)"', page)]
    assert abs(float(heights[0]) - float(heights[1])) < 60  # both fill their axes


def test_pairs_are_shown_at_one_scale(full: ReportData) -> None:
    page = render_report(full)
    widths = re.findall(r'<img alt="(generated|real)" title="[a-z]+" style="width: ([\d.]+)%"', page)
    assert widths == [("generated", "24.0"), ("real", "48.0")]
    assert "<h3>best</h3>" in page and "<figcaption>0.125</figcaption>" in page


def test_every_figure_of_a_table_has_its_name_where_a_narrow_screen_hides_the_head(full: ReportData) -> None:
    several = [comparison(), comparison("harms", -0.1, "faster_rcnn")]
    several = [one.model_copy(update={"failed": (FailedCell(arm="none", seed=2, reason="no"),)}) for one in several]
    for compared in (several[:1], several):
        page = render_report(replace(full, detectors=compared))
        cells = re.findall(r'<td class="n"([^>]*)>', page)
        assert len(cells) > 20 and all(re.search(r'data-label="[^"]+"', cell) for cell in cells)


def test_settings_and_provenance_are_folded_away(full: ReportData) -> None:
    folded = re.findall(r"<details>(.*?)</details>", render_report(full), re.S)
    assert ["lambda_1" in one for one in folded] == [True, False]
    assert "2.14.1" in folded[1]
