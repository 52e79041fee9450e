"""What a modality's source becomes: its compact form on disk, and the tensor made from that."""

import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from torch import Tensor

FORMAT_VERSION = 1
"""Of all compact forms; raise it whenever the same recipe would give other contents."""

Generator = np.random.Generator | None
"""Draws a training sample's view; None, in evaluation: the view is the same each time."""


class Part(NamedTuple):
    """What of a file is meant.

    Shape:
        - start, duration: a segment, seconds; None: from the file's beginning, to its end
        - member: what a container of many samples calls it; empty: the file is one sample
    """

    start: float | None = None
    duration: float | None = None
    member: str = ""


WHOLE = Part()


class Recipe(ABC):
    """How one modality of a sample is loaded."""

    @abstractmethod
    def load(self, source: Any, rng: Generator) -> Any:
        """What goes into the batch; of the same shape for each sample."""

    @abstractmethod
    def blank(self, rng: Generator = None) -> Any:
        """The same for a sample that lacks the modality."""


class MediaRecipe(Recipe):
    """How one modality is decoded once, and how the compact form is loaded.

    Arguments that :meth:`stored` does not name only change how the compact form is loaded: recipes
    that differ in nothing else share it.
    """

    suffix: ClassVar[str]

    @abstractmethod
    def stored(self) -> dict[str, Any]:
        """Name -> value of what decides the compact form's contents."""

    @abstractmethod
    def encode(self, path: Path, part: Part = WHOLE) -> bytes:
        """The compact form of a file, or a part of it.

        Raises:
            MediaError: If the file does not give one.
        """

    @abstractmethod
    def load(self, source: Path, rng: Generator) -> Tensor:
        """The tensor made from a compact form."""

    @property
    def fingerprint(self) -> str:
        """Differs where the compact form does."""
        named = {"recipe": type(self).__qualname__, "version": FORMAT_VERSION} | self.stored()
        text = json.dumps(named, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]
