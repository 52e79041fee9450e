"""The lengths of sequences that a written graph takes, found by running it."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from fdkd_lightning.export.base import Run, Student, named_tensors, parity

FAR, SHORT = 8, 1024
"""A stated maximum is tried if it is at most so many times the example's length, or at most this:
what attends from each place to each other needs the square of it."""


def try_lengths(
    kind: str, found: Run, student: Student, traced: Mapping[str, Mapping[str, int | None]]
) -> tuple[dict[str, Any], float]:
    """The limits of a graph's lengths, and the largest difference from the live student's outputs.

    What the tracer says is where the search begins: its graph may have guards that are narrower.
    The least length and one beyond the example's (the largest, where that is in reach) are run and
    held against the live network; where that fails, the limit is moved towards the example's
    length, by halving. Their neighbours are run too, for lengths that are taken with gaps.

    Args:
        kind: The format.
        found: The file, read back.
        student: Whose graph it is.
        traced: Input -> ``min`` and ``max`` (None: open) that the tracer tells.

    Returns:
        Input -> ``min``, ``max`` and ``tried``, the lengths that ran; and the difference.
    """
    example = named_tensors(student.graph_example, student.input_names[0])
    own = {name: example[name].shape[1] for name in traced}
    fixed = {name: {"min": n, "max": n, "tried": [n]} for name, n in own.items()}
    if len({*own.values()}) != 1:
        # Of several lengths nobody says how they go together.
        return fixed, 0.0
    [length] = {*own.values()}
    ran: dict[int, float] = {length: 0.0}

    def runs(other: int) -> bool:
        x: Any = {name: _of(t, other) if name in own else t for name, t in example.items()}
        if isinstance(student.graph_example, Tensor):
            [x] = x.values()
        try:
            ran[other] = parity(kind, student.deployed, found, iter([x]))
        except Exception:  # of any engine, and of a network that takes no such length
            return False
        return True

    bounds = [limits["max"] for limits in traced.values() if limits["max"] is not None]
    most = min(bounds, default=None)
    far = 2 * length + 1 if most is None else most
    if most is not None and most > max(FAR * length, SHORT):
        far = 2 * length + 1
    least = _outermost(runs, length, max(int(limits["min"] or 0) for limits in traced.values()))
    last = _outermost(runs, length, far)
    if last < far:
        most = last
    inner = {least + 1, length - 1, length + 1} - {*ran}
    if not all(runs(n) for n in inner if least <= n <= last):
        return fixed, 0.0
    limits = {"min": least, "max": most, "tried": sorted(ran)}
    return {name: {**limits} for name in traced}, max(ran.values())


def _outermost(runs: Callable[[int], bool], inside: int, outside: int) -> int:
    """The length nearest to ``outside`` that runs, by halving; those between are taken to run."""
    if inside == outside or runs(outside):
        return outside
    while abs(outside - inside) > 1:
        middle = (inside + outside) // 2
        if runs(middle):
            inside = middle
        else:
            outside = middle
    return inside


def _of(x: Tensor, length: int) -> Tensor:
    """The sequences, repeated and cut off."""
    return x.repeat(1, -(-length // x.shape[1]))[:, :length]
