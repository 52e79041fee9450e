"""Sentences about a measured run: what bounds its steps, and what a teacher cache gives."""

from collections.abc import Mapping, Sequence
from typing import Any

from fdkd_lightning.benchmark.row import Row
from fdkd_lightning.benchmark.run.measure_run import CACHED, CONFIGURED
from fdkd_lightning.benchmark.run.run_rows import STEP
from fdkd_lightning.benchmark.run.step_clock import OTHER
from fdkd_lightning.benchmark.run.step_hooks import (
    DATA,
    LOGGING,
    LOSS,
    OPTIMIZER,
    STUDENT,
    TRANSFER,
)

GROUPS = {
    "data": (DATA, TRANSFER),
    "student": (STUDENT, OPTIMIZER),
    "loss": (LOSS,),
    "loop": (LOGGING, OTHER),
}
"""What may bound a step -> its parts; the teachers' parts begin with their name."""

REMEDIES = {
    "data": (
        "A faster network would not help: prepare the files (fdkd prepare), or raise num_workers "
        "(now {num_workers})"
    ),
    "teacher": "A faster student or loss would help little",
    "student": "That is the cost of training it without a teacher",
    "loss": "Compare criteria by fdkd benchmark --cases=methods",
    "loop": (
        "Metrics, logging and the training loop take longer than the networks: log less often "
        "(trainer.log_every_n_steps), or use larger batches"
    ),
}
NAMES = {"data": "the data", "loop": "Lightning's loop with metrics and logging"}
NOISE = 0.05
"""Smaller differences may be those of two runs of the same program."""


def run_sentences(rows: Sequence[Row], run: Mapping[str, Any]) -> list[str]:
    """Return two or three sentences: the step and its parts, what bounds it, what a cache gives.

    Args:
        rows: Rows of the case ``run``.
        run: The entry ``run`` of ``benchmark.json``.
    """
    lines = [_step_sentence(rows, run)]
    groups = shares(rows, CONFIGURED)
    largest = max(groups, key=groups.__getitem__)
    remedy = REMEDIES[largest].format(num_workers=run["num_workers"])
    name = NAMES.get(largest, f"the {largest}")
    lines.append(
        f"{name[:1].upper()}{name[1:]} bounds it, with {groups[largest]:.0%} of the step. {remedy}."
    )
    lines.append(_cache_sentence(rows, run))
    return lines


def shares(rows: Sequence[Row], variant: str) -> dict[str, float]:
    """Return the shares of data, teachers, student, loss and loop in the step of a variant.

    Example:
        >>> numbers = 2.0, 2.0, 2.0, 2.0, 5
        >>> live = f"{CONFIGURED}: "
        >>> part = Row("run", "b", live + "teacher audio", "s", *numbers, live + "step", 0.5)
        >>> shares([part], CONFIGURED)["teacher"]
        0.5
    """
    found = dict.fromkeys((*GROUPS, "teacher"), 0.0)
    for name, row in parts_of(rows, variant).items():
        group = next((g for g, names in GROUPS.items() if name in names), "teacher")
        found[group] += row.ratio or 0
    return found


def parts_of(rows: Sequence[Row], variant: str) -> dict[str, Row]:
    """Return part -> row of a variant, without the step itself."""
    start = f"{variant}: "
    own = {row.variant.removeprefix(start): row for row in rows if row.variant.startswith(start)}
    return {name: row for name, row in own.items() if name != STEP}


def step_of(rows: Sequence[Row], variant: str) -> Row | None:
    """Return the row of a variant's step; None: it was not measured."""
    return next((row for row in rows if row.variant == f"{variant}: {STEP}"), None)


def duration(seconds: float) -> str:
    """Return a time in a unit that fits.

    Example:
        >>> duration(0.0123), duration(75), duration(7260)
        ('12.3 ms', '75 s', '2.0 h')
    """
    if seconds < 0.9995:  # which would round to 1e+03
        return f"{1000 * seconds:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _step_sentence(rows: Sequence[Row], run: Mapping[str, Any]) -> str:
    step = step_of(rows, CONFIGURED)
    assert step is not None
    size = run["batch_size"] * run["batches_per_step"]
    parts = sorted(parts_of(rows, CONFIGURED).items(), key=lambda x: -(x[1].ratio or 0))
    named = [f"{name} {row.ratio:.0%}" for name, row in parts if (row.ratio or 0) >= 0.005]
    return (
        f"A step takes {duration(step.median)} ({size / step.median:,.0f} samples/s with batches "
        f"of {size} on {run['device']}): {', '.join(named)}."
    )


def _cache_sentence(rows: Sequence[Row], run: Mapping[str, Any]) -> str:
    live, cached, cache = step_of(rows, CONFIGURED), step_of(rows, CACHED), run["cache"]
    assert live is not None
    if cached is None:
        return f"A teacher cache was not measured: {cache['why_not']}."
    ratio = live.median / cached.median
    text = f"With a teacher cache a step takes {duration(cached.median)}"
    if abs(ratio - 1) < NOISE or _overlap(live, cached):
        taken = (shares(rows, variant)["teacher"] for variant in (CONFIGURED, CACHED))
        forward, reading = (f"{share:.0%}" for share in taken)
        return (
            f"{text}, no clear difference: the teacher takes {forward} of the step, reading its "
            f"stored outputs {reading}."
        )
    if ratio < 1:
        return f"{text}, longer than without: reading the stored outputs costs more than it saves."
    text += f", {ratio:.2g} times as fast"
    skipped = ", ".join(cache["skipped"])
    text += f", {skipped} not being loaded" if skipped else ""
    samples, per_epoch = run["samples"], run["steps_per_epoch"]
    if samples and per_epoch:
        size = samples * cache["row_bytes"]
        with_maps = ", maps included" if cache["with_maps"] else ""
        parts = parts_of(rows, CONFIGURED)
        # A pass of the teachers over the data; the loader of all modalities is an upper bound.
        once = [x.median for name, x in parts.items() if name.startswith("teacher ")]
        once += [parts[name].median for name in GROUPS["data"] if name in parts]
        build = per_epoch * sum(once)
        epochs = build / (per_epoch * (live.median - cached.median))
        text += (
            f". It takes {byte_text(size)} for {samples:,} samples in float32{with_maps}, and at "
            f"most about {duration(build)} to build, which it saves within {max(epochs, 1):.0f} "
            f"epoch{'s' if epochs >= 1.5 else ''}"
        )
    return f"{text}."


def _overlap(a: Row, b: Row) -> bool:
    """Whether the quartiles of two rows overlap."""
    return a.quartile_1 <= b.quartile_3 and b.quartile_1 <= a.quartile_3


def byte_text(size: float) -> str:
    """Return a number of bytes in a unit that fits.

    Example:
        >>> byte_text(500), byte_text(3_500_000)
        ('500 B', '3.34 MiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"
