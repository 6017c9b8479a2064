"""The arms of a comparison: what a detector learns from, and in which shares.

Half of what any detector sees are normal pictures, in every arm. The other half are anomalous ones: real ones, added
ones, or both. All arms take the same number of steps, and are tested on the same pictures.

    none                       real pictures alone: what all other arms are compared with
    flips                      real pictures, and copies of them turned and mirrored
    copy_paste                 real pictures, and real anomalies pasted into normal pictures
    generated:JOB              generated pictures alone
    generated:JOB_A,JOB_B      those of several jobs as one set, such as one job for each class
    real+generated:JOB         real and generated pictures
    adaptive:JOB               the same; generated ones are shown more often where the detector misses them
    ARM@0.25                   so much of the anomalous half is added; 0.5 without it
    ARM#500                    the first 500 added pictures of each class, and no others
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from anomaly_gan.samples.sample import Sample
from infra.errors import UsageError

BASE = "none"
"""The arm that all others are compared with."""

NORMAL_SHARE = 0.5
"""Share of normal pictures in what the detector of any arm is shown."""

EQUAL = 0.5
"""Share of added pictures in the anomalous half, where an arm does not say it."""

FLIPS, COPY_PASTE, GENERATED = "flips", "copy_paste", "generated:"
"""Sources of added pictures; that of generated ones goes on with the names of their jobs."""

FORM = re.compile(
    r"(?P<source>none|(?P<augmented>flips|copy_paste)"
    r"|((?P<adaptive>adaptive)|(?P<real>real\+)?generated):[\w.-]+(,[\w.-]+)*)"
    r"(@(?P<share>[\d.]+))?(#(?P<count>\d+))?"
)
BEGIN = re.compile(r"none|flips|copy_paste|generated:|real\+|adaptive:")


@dataclass(frozen=True)
class Arm:
    """What the anomalous half of every batch is.

    Attributes:
        name: as it is written.
        has_real: real anomalies are among them.
        source: what is added to them, or takes their place: FLIPS, COPY_PASTE, or GENERATED and names; None = nothing.
        share: 0..1, of the anomalous half that is added; 1 without real ones.
        count: most added pictures of each class; None = all there are.
        adapts: added pictures are shown more often where the detector misses their anomalies.
    """

    name: str
    has_real: bool = True
    source: str | None = None
    share: float = 0.0
    count: int | None = None
    adapts: bool = False

    @property
    def jobs(self) -> tuple[str, ...]:
        """Names of the jobs whose pictures are added."""
        if self.source is None or not self.source.startswith(GENERATED):
            return ()
        return tuple(self.source.removeprefix(GENERATED).split(","))

    @property
    def stream(self) -> str:
        """Name of what is added, in words without a job."""
        return "generated" if self.jobs else str(self.source)


def parse_arm(text: str) -> Arm:
    """The arm of a text, as the module describes them.

    Raises:
        UsageError: it has another form, or a share or count that cannot be.
    """
    found = FORM.fullmatch(text)
    if found is None:
        raise UsageError(
            f"arms: unknown arm, got {text!r}; use one of none, flips, copy_paste, generated:JOB, real+generated:JOB,"
            " adaptive:JOB, each but the first also with @SHARE or #COUNT"
        )
    source, adapts = found["source"].removeprefix("real+"), bool(found["adaptive"])
    has_real = adapts or bool(found["real"] or found["augmented"])
    if source == BASE:
        if text != BASE:
            raise UsageError(f"arms: {text}: {BASE} adds nothing, so it takes no share and no count")
        return Arm(text)
    share, count = _share(text, found["share"]), _count(text, found["count"])
    if found["share"] and not has_real:
        raise UsageError(f"arms: {text}: shows no real pictures, so it takes no share; write real+{text}")
    if adapts:
        source = source.replace("adaptive:", GENERATED, 1)
    return Arm(text, has_real, source, share if has_real else 1.0, count, adapts)


def parse_arms(texts: Iterable[str]) -> list[Arm]:
    """Arms in their order, each once, the base first whether it is named or not.

    Raises:
        UsageError: as `parse_arm`.
    """
    return [parse_arm(text) for text in dict.fromkeys([BASE, *texts])]


def split_arms(text: str) -> list[str]:
    """The arms of a list with commas; a comma before what begins no arm joins the jobs of one."""
    arms: list[str] = []
    for part in text.split(","):
        if arms and not BEGIN.match(part):
            arms[-1] += f",{part}"
        else:
            arms.append(part)
    return arms


def _share(text: str, written: str | None) -> float:
    if written is None:
        return EQUAL
    try:
        share = float(written)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise UsageError(f"arms: {text}: the share after @ is between 0 and 1, got {written}")
    return share


def _count(text: str, written: str | None) -> int | None:
    if written is not None and not int(written):
        raise UsageError(f"arms: {text}: the count after # is at least 1, got {written}")
    return None if written is None else int(written)


def first_of_each(samples: Sequence[Sample], classes: Sequence[str], count: int) -> list[Sample]:
    """In their order, those with a class of which there were fewer than `count` before."""
    seen: Counter[str] = Counter()
    chosen = []
    for sample in samples:
        its = [name for name in classes if name in sample.masks]
        if any(seen[name] < count for name in its):
            seen.update(its)
            chosen.append(sample)
    return chosen


def titles(arms: Iterable[str]) -> dict[str, str]:
    """How a report names arms; jobs are named only where there are several sets of them."""
    parsed = [parse_arm(text) for text in arms]
    has_one = len({arm.jobs for arm in parsed if arm.jobs}) < 2
    return {arm.name: _title(arm, has_one) for arm in parsed}


def _title(arm: Arm, has_one: bool) -> str:
    if arm.source is None:
        return "real"
    added = {FLIPS: "turned real", COPY_PASTE: "copy-paste"}.get(arm.source, "generated")
    if arm.jobs and not has_one:
        added += f" by {', '.join(arm.jobs)}"
    title = f"real + {added}" if arm.has_real else f"{added} alone"
    if arm.adapts:
        title += ", more of what is missed"
    if arm.has_real and arm.share != EQUAL:
        title += f", {arm.share:.0%} of the anomalous half"
    return title + (f", {arm.count} of each class" if arm.count is not None else "")
