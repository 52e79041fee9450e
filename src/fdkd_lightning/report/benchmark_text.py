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
    teacher_part,
)

GROUPS = {
    "data": (DATA, TRANSFER),
    "student": (STUDENT, OPTIMIZER),
    "loss": (LOSS,),
    "loop": (LOGGING, OTHER),
}
"""Possible bottleneck -> its parts of the step; the teachers' parts begin with their name."""

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
TEACHER = teacher_part("")
NAMES = {"data": "the data", "loop": "Lightning's loop with metrics and logging"}
NOISE = 0.05
"""Smaller savings, as a share of the step, are not worth a cache."""
DRIFT = 0.15
"""Relative difference between a measured step and one computed from its parts, beyond which both
are given."""


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
    name, share = NAMES.get(largest, f"the {largest}"), percent(groups[largest])
    lines.append(f"{name[:1].upper()}{name[1:]} bounds it, with {share} of the step. {remedy}.")
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


def saving(rows: Sequence[Row]) -> float:
    """Return the seconds of a step that a teacher cache saves, by the parts that it changes.

    The others are the same with and without: their differences are those of the machine's load.
    """
    seconds = []
    for variant in (CONFIGURED, CACHED):
        parts = parts_of(rows, variant).items()
        changed = (x.median for name, x in parts if name in GROUPS["data"] or is_teacher(name))
        seconds.append(sum(changed))
    return seconds[0] - seconds[1]


def is_teacher(part: str) -> bool:
    """Return whether a part is a teacher's forward pass, or reading its stored outputs."""
    return part.startswith(TEACHER)


def step_of(rows: Sequence[Row], variant: str) -> Row | None:
    """Return the row of a variant's step; None: it was not measured."""
    return next((row for row in rows if row.variant == f"{variant}: {STEP}"), None)


def percent(share: float | None) -> str:
    """Return a share in percent.

    Example:
        >>> percent(0.123)
        '12 %'
    """
    return f"{100 * (share or 0):.0f} %"


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
    ranks = f", each of {run['ranks']} ranks" if run["ranks"] > 1 else ""
    named = [f"{name} {percent(row.ratio)}" for name, row in parts if (row.ratio or 0) >= 0.005]
    return (
        f"A step takes {duration(step.median)} ({size / step.median:,.0f} samples/s with batches "
        f"of {size} on {run['device']}{ranks}): {', '.join(named)}."
    )


def _cache_sentence(rows: Sequence[Row], run: Mapping[str, Any]) -> str:
    live, cached, cache = step_of(rows, CONFIGURED), step_of(rows, CACHED), run["cache"]
    assert live is not None
    if cached is None:
        return f"A teacher cache was not measured: {cache['why_not']}."
    saved = saving(rows)
    text = f"With a teacher cache a step takes {duration(live.median - saved)}"
    if abs(cached.median / (live.median - saved) - 1) > DRIFT:
        text += f" (measured {duration(cached.median)}, while the machine's load changed)"
    if saved < -NOISE * live.median:
        return f"{text}, longer than without: reading the stored outputs costs more than it saves."
    if saved < NOISE * live.median:
        return f"{text}: less than {percent(NOISE)} is to be gained."
    text += f", {live.median / (live.median - saved):.2g} times as fast"
    skipped = ", ".join(cache["skipped"])
    text += f", {skipped} not being loaded" if skipped else ""
    samples, per_epoch = run["samples"], run["steps_per_epoch"]
    if samples and per_epoch:
        size = samples * cache["row_bytes"]
        with_maps = ", maps included" if cache["with_maps"] else ""
        parts = parts_of(rows, CONFIGURED)
        # A pass of the teachers over the data; the loader of all modalities is an upper bound.
        once = [x.median for name, x in parts.items() if is_teacher(name)]
        once += [parts[name].median for name in GROUPS["data"] if name in parts]
        build = per_epoch * sum(once)
        epochs = build / (per_epoch * saved)
        text += (
            f". It takes {byte_text(size)} for {samples:,} samples in float32{with_maps}, and at "
            f"most about {duration(build)} to build, which it saves within {max(epochs, 1):.0f} "
            f"epoch{'s' if epochs >= 1.5 else ''}"
        )
    return f"{text}."


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
