"""The sequence lengths that a written graph accepts, found by running it."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from fdkd_lightning.export.base import Run, Student, named_tensors, parity

FAR, SHORT = 8, 1024
"""A traced maximum is run only if it is at most ``FAR`` times the example's length, or at most
``SHORT``: attention needs memory quadratic in the length."""


def try_lengths(
    kind: str, loaded: Run, student: Student, traced: Mapping[str, Mapping[str, int | None]]
) -> tuple[dict[str, Any], float]:
    """Find the limits of a graph's sequence lengths, and compare its outputs with the student's.

    The search starts from the tracer's limits; the graph may have narrower guards. The shortest
    length and one above the example's (the longest, if that is feasible) are run and compared
    with the student. If one fails, bisection moves that limit towards the example's length. The
    neighbours of the limits and of the example's length are run too, so that a graph with gaps
    is found.

    Args:
        kind: The file's format.
        loaded: The file.
        student: The student.
        traced: Input -> ``min`` and ``max`` (None: no limit), as the tracer reports them.

    Returns:
        Input -> ``min``, ``max`` and ``tried``, the lengths that ran; and the largest difference
        from the student's outputs.
    """
    example = named_tensors(student.graph_example, student.input_names[0])
    lengths = {name: example[name].shape[1] for name in traced}
    fixed = {name: {"min": n, "max": n, "tried": [n]} for name, n in lengths.items()}
    if len({*lengths.values()}) != 1:
        # How different lengths depend on each other is not known.
        return fixed, 0.0
    [length] = {*lengths.values()}
    ran: dict[int, float] = {length: 0.0}

    def runs(other: int) -> bool:
        x: Any = {
            name: _with_length(t, other) if name in lengths else t for name, t in example.items()
        }
        if isinstance(student.graph_example, Tensor):
            [x] = x.values()
        try:
            ran[other] = parity(kind, student.deployed, loaded, iter([x]))
        except Exception:  # any engine's, or the network's own for a length it rejects
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
    """Find the length nearest to ``outside`` that runs, by bisection."""
    if inside == outside or runs(outside):
        return outside
    while abs(outside - inside) > 1:
        middle = (inside + outside) // 2
        if runs(middle):
            inside = middle
        else:
            outside = middle
    return inside


def _with_length(x: Tensor, length: int) -> Tensor:
    """Repeat the sequences and cut them to a length."""
    return x.repeat(1, -(-length // x.shape[1]))[:, :length]
