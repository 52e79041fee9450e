"""Find inputs, labels and ids in a batch of any form."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.training.cache.cached_teacher import CachedTeacher
from fdkd_lightning.training.probe import check_target
from fdkd_lightning.types import Batch, Output

BatchKey = str | int | Callable[[Any], Any]
"""A key or index, a dotted path of them (``inputs.audio``, ``0.image``), or a function."""


def entry(batch: Any, key: BatchKey, argument: str) -> Any:
    """Return the entry of a batch under a key; ``argument`` names the key in an error.

    A string is looked up whole in a dict first, then part by part: as a key of a dict, as an index
    or a field of a (named) tuple, or as an attribute.

    Example:
        >>> batch = ({"image": 1, "a.b": 2}, "label")
        >>> [entry(batch, key, "student_input") for key in ("0.image", "0.a.b", 1)]
        [1, 2, 'label']
        >>> entry(batch, lambda batch: batch[0]["image"], "student_input")
        1
    """
    if callable(key):
        return key(batch)
    found, rest = batch, str(key)
    while rest:
        found, rest = _descend(found, rest, f"{argument}={key!r}")
    return found


class BatchInputs:
    """The keys under which a batch holds the teachers' inputs, the labels and the samples' ids.

    A :class:`~fdkd_lightning.CachedTeacher` has no input but the ids. The task states what the
    labels mean; None: one class per sample.

    Example:
        >>> inputs = BatchInputs(["audio"], {"audio": 1}, target=2)
        >>> inputs.read(["image", "sound", "label"])
        {'audio': 'sound', 'label': 'label'}
    """

    def __init__(
        self,
        teachers: Collection[str],
        inputs: Mapping[str, BatchKey],
        target: BatchKey | None,
        index: BatchKey | None = None,
        task: Task | None = None,
    ) -> None:
        unknown = sorted(inputs.keys() - set(teachers))
        if unknown:
            raise ValueError(
                f"teacher_inputs names {unknown[0]!r}, but the teachers are "
                f"{', '.join(teachers) or 'none'}: use the name of a teacher"
            )
        given = teachers if isinstance(teachers, Mapping) else {}
        cached = {m for m, teacher in given.items() if isinstance(teacher, CachedTeacher)}
        live = {modality: modality for modality in teachers if modality not in cached}
        self.inputs = live | {m: key for m, key in inputs.items() if m not in cached}
        self.target = target
        self.index = "index" if cached and index is None else index
        self.task = OneClassTask() if task is None else task

    def teacher_inputs(self, batch: Any) -> Batch:
        """Return modality -> input of each teacher, and ``index`` if it has a key."""
        found = {
            modality: entry(batch, key, f"teacher_inputs[{modality!r}]")
            for modality, key in self.inputs.items()
        }
        if self.index is not None:
            found["index"] = entry(batch, self.index, "index")
        return found

    def read_ids(self, batch: Any) -> Batch:
        """Return what :meth:`teacher_inputs` does, with ``index`` also where it has no key."""
        found = self.teacher_inputs(batch)
        return found if "index" in found else {**found, "index": entry(batch, "index", "index")}

    def read(self, batch: Any) -> Batch:
        """Return the teachers' inputs, ``index`` and ``label``, as far as they have a key."""
        found = self.teacher_inputs(batch)
        if self.target is not None:
            try:
                found["label"] = entry(batch, self.target, "target")
            except KeyError as error:
                message = f"{error.args[0]}; or set target=None, if it has no labels"
                raise KeyError(message) from None
        return found

    def read_for(self, student: Output, batch: Any) -> Batch:
        """Return what :meth:`read` does for the samples of an output; no labels are -100 or NaN."""
        found, size = self.read(batch), len(student.features)
        if self.target is None:
            found["label"] = self.task.unlabelled(student.logits)
        elif len(found["label"]) != size:
            raise ValueError(
                f"the student last ran on {size} samples, but target={self.target!r} has "
                f"{len(found['label'])}: training_step must run it on the whole batch in its "
                "order, and on nothing else with a gradient after that"
            )
        return found

    def check_labels(self, found: Batch, student: Output) -> None:
        """Raise unless the labels fit the student's logits."""
        if self.target is None:
            return
        try:
            check_target(self.task, found["label"], student.logits)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"target={self.target!r}: {error}; or set target=None to train without labels"
            ) from error


def _descend(value: Any, path: str, key: str) -> tuple[Any, str]:
    """Return the entry under the first part of a path, and the rest of the path."""
    first, _, rest = path.partition(".")
    if isinstance(value, Mapping):
        # A key may itself contain dots, or be a number.
        for name, left in ((path, ""), (first, rest)):
            if name in value:
                return value[name], left
            if name.isdecimal() and int(name) in value:
                return value[int(name)], left
        have = f"a dict with {', '.join(map(str, value)) or 'nothing'}"
    elif isinstance(value, Sequence) and not isinstance(value, str):
        if first.isdecimal() and int(first) < len(value):
            return value[int(first)], rest
        if first in getattr(value, "_fields", ()):  # of a named tuple
            return getattr(value, first), rest
        have = f"a {type(value).__name__} with entries 0 to {len(value) - 1}"
    elif hasattr(value, first):
        return getattr(value, first), rest
    else:
        have = f"a {type(value).__name__}"
    raise KeyError(
        f"{key}: no entry {first!r} in {have}: give a key of the batch, a dotted path such as "
        "'0.image', or a function of the batch"
    )
