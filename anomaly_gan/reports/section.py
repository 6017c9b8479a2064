"""A section of a report: a heading, and the HTML below it."""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from anomaly_gan.drawing.pages import page_template
from anomaly_gan.reports.data import Absent


@dataclass(frozen=True)
class Section:
    """`body` is HTML in which all text is escaped."""

    title: str
    body: Markup


def section(title: str, template: str, **values: Any) -> Section:
    """A section of the template `sections/TEMPLATE.html.j2`, which escapes what is put in."""
    return Section(title, Markup(page_template(__package__, f"sections/{template}.html.j2").render(**values)))


def absent(title: str, why: Absent | None) -> Section | None:
    """A section that says why it is empty; None where nobody asked for it."""
    if why is None:
        return None
    return Section(title, Markup('<p class="absent">Not in this report: {}.</p>').format(why.reason))
