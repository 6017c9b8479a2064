"""What a report says of the training behind the images."""

import json

import pytest

from anomaly_gan.methods import METHODS
from anomaly_gan.reports.data import Absent, ReportData
from anomaly_gan.reports.evaluation import render_report
from jobs.evaluate.report_facts import training_charts
from tests.support.helpers import MemoryStorage


@pytest.mark.parametrize("method", METHODS)
def test_the_terms_of_any_method_are_drawn_as_it_groups_them(method: str) -> None:
    form, storage = METHODS[method].form, MemoryStorage()
    losses = {name: float(number) for number, name in enumerate(form.terms)}
    history = [{"step": step, "losses": losses} for step in (10, 20)]
    storage.write("jobs/m/out/history.json", json.dumps(history).encode())
    charts = training_charts(storage, "m", method)
    assert not isinstance(charts, Absent)
    assert {chart.title: tuple(chart.curves) for chart in charts} == dict(form.charts)
    name = next(iter(charts[0].curves))
    assert charts[0].curves[name] == [(10, losses[name]), (20, losses[name])]
    page = render_report(ReportData("tiles", {}, charts=charts))
    assert all(title in page for title in form.charts)


def test_a_model_that_came_from_elsewhere_has_no_charts() -> None:
    assert isinstance(training_charts(MemoryStorage(), "m", "anomaly_gan"), Absent)
