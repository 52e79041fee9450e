"""Shared by all categories: how many bad inputs to draw, and how an outcome is classed."""

import os
import random
import re
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import fdkd_lightning

SOURCE = str(Path(fdkd_lightning.__file__).parent)


@pytest.fixture
def cases() -> int:
    """The number of bad inputs to draw; ``nox -s fuzz`` draws 300."""
    return int(os.environ.get("FDKD_FUZZ_CASES", "24"))


def tensors(result: Any) -> list[Tensor]:
    """All tensors and numbers in nested results."""
    if isinstance(result, Tensor):
        return [result.detach()]
    if isinstance(result, float | int):
        return [torch.tensor(float(result))]
    if isinstance(result, Mapping):
        result = result.values()
    elif not isinstance(result, tuple | list):
        return []
    return [x for part in result for x in tensors(part)]


def same(a: Any, b: Any) -> bool:
    """Whether two results hold the same tensors, bit by bit."""
    pairs = tensors(a), tensors(b)
    return len(pairs[0]) == len(pairs[1]) and all(map(torch.equal, *pairs))


def is_finite_result(result: Any) -> bool:
    """Whether a result holds no NaN and nothing infinite."""
    return all(x.isfinite().all() for x in tensors(result))


def is_nothing(result: Any) -> bool:
    """Whether a result is that of no samples: zeros, or no rows."""
    return all(not x.numel() or not x.any() for x in tensors(result))


def bad_numbers(value: float) -> list[Any]:
    numbers = [float("nan"), float("inf"), -float("inf"), -1, 0, -0.5, 1.5, True, "1", None, [1]]
    return [*numbers, type(value)(40)]


def bad_tensors(x: Tensor) -> dict[str, Tensor | list[Any] | None]:
    """Tensors that differ from a good one in one respect, by its name."""
    bad: dict[str, Tensor | list[Any] | None] = {
        "none": None,
        "list": x.tolist(),
        "complex": x.to(torch.complex64),
        "bool": x.bool(),
        "more dimensions": x.unsqueeze(-1).unsqueeze(-1).unsqueeze(-1),
        "scalar": x.flatten()[0],
        "one sample": x[:1],
        "a sample less": x[:-1],
        "empty": x[:0],
    }
    if x.ndim > 1:
        bad |= {"fewer dimensions": x[0], "narrower": x[:, :-1], "without width": x[:, :0]}
    if x.is_floating_point():
        bad |= {"integers": x.long(), "nan": x.clone(), "inf": x.clone(), "half": x.half()}
        for name, value in (("nan", torch.nan), ("inf", torch.inf)):
            bad[name].view(-1)[0] = value  # type: ignore[union-attr]
    elif x.dtype == torch.int64:
        bad |= {"floats": x.float(), "int32": x.int(), "out of range": x + 99, "negative": x - 9}
    return bad


ALIASES = {
    # A module names its input by what it is, and a band or a map by the output that it belongs to.
    "x": ("features", "tensor", "maps", "waveform", "clip", "images", "depth", "texts", "strings"),
    "low": ("features", "scores", "logits", "details", "classes"),
    "high": ("features", "scores", "logits", "classes"),
    "map": ("features", "batch"),
    "logits": ("classes",),
    "prediction": ("logits",),
    "height": ("size",),
    # A part without sizes is one that was not built.
    **dict.fromkeys(("classes", "features"), ("size yet",)),
}
"""Words that an error may use for an argument, by the last part of its name."""


def _shown(value: Any) -> set[str]:
    """Texts of which an error must hold one to name a value."""
    if value is None:
        return {"None", "size yet"}
    if not isinstance(value, Tensor):
        parts = [value, *value] if isinstance(value, tuple | list | dict) else [value]
        shown = {text for part in parts for text in (repr(part), str(part), type(part).__name__)}
        return shown if value != () else shown | {"[]", "empty", "nothing"}
    shape = list(value.shape)
    # Of a batch of clips, one clip.
    shown = {repr(value), str(value.dtype), str(shape), str(shape[:2])[:-1], str(shape[1:])}
    if len(shape) > 1:
        shown |= {f"{shape[1]} classes", f"size {shape[1]}", f"has {shape[1]}"}
    if shape[:1] == [0]:
        shown |= {"a batch of 0", "no clips"}
    if not shape:
        shown.add("a single number")
    if value.dtype == torch.int64:
        shown |= {f" {number}" for number in value.flatten().tolist()}
    return shown


class Case:
    """One call with one bad argument.

    Args:
        call: The function.
        arguments: Its good arguments.
        name: The argument that is bad.
        value: Its value.
        kind: What is bad about a tensor; empty for other arguments.
    """

    def __init__(
        self, call: Callable[..., Any], arguments: dict[str, Any], name: str, value: Any, kind: str
    ) -> None:
        self.call = call
        self.arguments = arguments
        self.name = name
        self.value = value
        self.kind = kind

    is_finite = staticmethod(is_finite_result)
    is_nothing = staticmethod(is_nothing)

    def is_as_good(self, result: Any) -> bool:
        """Whether the bad argument is not used here, or stands for the good one."""
        return same(result, run(self.call, self.arguments))

    def names(self, message: str) -> bool:
        """Whether a message names the argument and its value."""
        words = {self.name, *self.name.split("_"), *ALIASES.get(self.name.split("_")[-1], ())}
        named = any(re.search(rf"\b{word}", message) for word in words if len(word) > 2)
        # One letter is a name where a value follows.
        named |= re.search(rf"\b{self.name}( \[| has | is |'?\]?=)", message) is not None
        return named and any(shown in message for shown in _shown(self.value))

    def outcome(self, has_meaning: Callable[["Case", Any], bool]) -> tuple[str, str]:
        """Class of the outcome, and what was raised or returned."""
        try:
            result = run(self.call, self.arguments | {self.name: self.value})
        except (Exception, SystemExit) as error:
            last = traceback.extract_tb(error.__traceback__)[-1].filename
            ours = last.startswith(SOURCE) and self.names(str(error))
            nonsense = isinstance(error, TypeError) and not isinstance(
                self.value, Tensor | int | float
            )
            return "rejected" if ours or nonsense else "obscure", repr(error)[:400]
        meaningful = has_meaning(self, result)
        return "meaningful" if meaningful else "silent", repr(result)[:200]


def run(call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    return call(**arguments)


def draw(
    specs: Mapping[str, tuple[Callable[..., Any], Callable[[], dict[str, Any]]]], seed: int
) -> tuple[str, Case]:
    """Draw a function, one of its arguments and a bad value of that argument."""
    rng = random.Random(seed)
    name = rng.choice(sorted(specs))
    call, good = specs[name]
    torch.manual_seed(1)
    arguments = good()
    argument = rng.choice(sorted(arguments))
    value, kind = arguments[argument], ""
    if isinstance(value, Tensor):
        kind, bad = rng.choice(sorted(bad_tensors(value).items(), key=lambda item: item[0]))
    elif isinstance(value, bool):
        bad = rng.choice([2, -1, "no", None, 0.5, torch.ones(2)])
    elif isinstance(value, str):
        bad = rng.choice(["nonsense", "", 3, None, ["mean"], True])
    elif isinstance(value, float | int):
        bad = rng.choice(bad_numbers(value))
    else:
        bad = rng.choice([None, 3, -1.5, "nonsense", (), [None], {"a": 1}, float("nan")])
    return name, Case(call, arguments, argument, bad, kind)


def report(outcomes: list[tuple[str, str]]) -> None:
    """Raise if an outcome is silent, or if 2 % or more are obscure."""
    counts = Counter(kind for kind, _ in outcomes)
    print(dict(counts))
    for kind, text in outcomes:
        if kind in ("silent", "obscure"):
            print(kind, text)
    assert [text for kind, text in outcomes if kind == "silent"] == []
    obscure = [text for kind, text in outcomes if kind == "obscure"]
    assert len(obscure) < max(1, 0.02 * len(outcomes)), obscure


@pytest.fixture
def is_finite() -> Callable[[Any], bool]:
    """Whether a result holds no NaN and nothing infinite."""
    return is_finite_result


@pytest.fixture
def fuzz(cases: int) -> Callable[..., None]:
    """Draw bad arguments for functions, and check each outcome."""

    def check(specs: Any, has_meaning: Callable[[str, Case, Any], bool]) -> None:
        outcomes = []
        for seed in range(cases):
            name, case = draw(specs, seed)
            kind, text = case.outcome(
                lambda case, result, name=name: has_meaning(name, case, result)
            )
            bad = case.kind or repr(case.value)
            outcomes.append((kind, f"{seed}: {name}({case.name}: {bad}) -> {text}"))
        report(outcomes)

    return check
