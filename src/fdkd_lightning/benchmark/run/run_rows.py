"""Turn the steps of a run into rows: seconds of each part, and its share of the step."""

from collections.abc import Sequence
from statistics import mean, median

from fdkd_lightning.benchmark.measure import timing_of
from fdkd_lightning.benchmark.row import Row
from fdkd_lightning.benchmark.run.step_clock import OTHER
from fdkd_lightning.benchmark.run.step_hooks import DATA

STEP = "step"


def run_rows(
    variant: str,
    size: str,
    steps: Sequence[dict[str, float]],
    loader_seconds: float | None,
    baseline: Row | None,
) -> list[Row]:
    """Return the row of the step, then those of its parts, which add up to it.

    Parts are medians over steps. The wait for data is the mean, since batches of several workers
    come in bursts; where workers deliver a step's batches more slowly than the step takes them, it
    is the difference, which batches prepared in advance hide for a while.

    Args:
        variant: Name before the parts.
        size: The size of a batch.
        steps: Part -> seconds, of each step.
        loader_seconds: Seconds in which the loader alone delivers the batches of a step; None: it
            has no workers.
        baseline: The step that this one is divided by; None: none.

    Example:
        >>> steps = [{"data": 0.0, "student": 3.0}, {"data": 2.0, "student": 3.0}]
        >>> [(row.variant, row.median) for row in run_rows("live", "batch 2", steps, None, None)]
        [('live: step', 4.0), ('live: data', 1.0), ('live: student', 3.0), ('live: other', 0.0)]
    """
    names = list(dict.fromkeys(name for step in steps for name in step))
    seconds = {name: [step.get(name, 0.0) for step in steps] for name in names}
    busy = [sum(step.values()) - step.get(DATA, 0.0) for step in steps]
    work = median(busy)
    wait = mean(seconds.get(DATA, [0.0]))
    if loader_seconds is not None:
        wait = max(wait, loader_seconds - work)
    parts = {DATA: wait, **{name: median(x) for name, x in seconds.items() if name != DATA}}
    parts[OTHER] = 0
    # What medians of the parts leave over of the median of their sum.
    parts[OTHER] = max(work - sum(x for name, x in parts.items() if name != DATA), 0)
    step = f"{variant}: {STEP}"
    total = timing_of([sum(x.values()) for x in steps])
    numbers = total.minimum, *total.quartiles, len(steps)
    compared: tuple[str, float | None] = ("", None)
    if baseline is not None:
        compared = (baseline.variant, (work + wait) / baseline.median)
    rows = [Row("run", size, step, "s", work + wait, *numbers, *compared)]
    for name, value in parts.items():
        spread = timing_of(seconds.get(name, [0.0] * len(steps)))
        numbers = spread.minimum, *spread.quartiles, len(steps)
        share = value / (work + wait)
        rows.append(Row("run", size, f"{variant}: {name}", "s", value, *numbers, step, share))
    return rows
