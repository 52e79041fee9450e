"""Base classes of recipes: from the source of a modality to its compact form and its tensor."""

import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 2
"""Version of all compact forms; increase it when a recipe with the same arguments changes them."""

Generator = np.random.Generator | None
"""Random generator of a training view; None in evaluation, where the view is deterministic."""


class Part(NamedTuple):
    """The part of a file that belongs to a sample.

    Args:
        start: Start of the segment, seconds; None: start of the file.
        duration: Length of the segment, seconds; None: to the end of the file.
        member: Name of the sample within a file of many samples; empty: the file is one sample.

    Example:
        >>> Part(start=2.5, duration=1.0)
        Part(start=2.5, duration=1.0, member='')
    """

    start: float | None = None
    duration: float | None = None
    member: str = ""


WHOLE = Part()


class Recipe(ABC):
    """Base class of recipes, which load one modality of a sample.

    Subclasses override :meth:`load` and :meth:`blank`.

    Example:
        >>> class Letters(Recipe):
        ...     def load(self, source, rng):
        ...         return list(source)
        ...     def blank(self, rng=None):
        ...         return []
        >>> Letters().load("owl", rng=None)
        ['o', 'w', 'l']
    """

    @abstractmethod
    def load(self, source: Any, rng: Generator) -> Any:
        """Load an entry of the batch, of the same shape for each sample.

        Args:
            source: Text of the sample; for a :class:`MediaRecipe`, path of the compact form.
            rng: Generator of the training view; None in evaluation.
        """

    @abstractmethod
    def blank(self, rng: Generator = None) -> Any:
        """Return the entry for a sample without the modality.

        Args:
            rng: Generator of the training view; None in evaluation.
        """


class MediaRecipe(Recipe):
    """Base class of recipes that decode a file once into a compact form and load that.

    Subclasses set ``suffix``, the file extension of the compact form, and override :meth:`stored`,
    :meth:`encode`, :meth:`load` and :meth:`blank`. Arguments that :meth:`stored` does not return
    only affect loading: recipes that differ in nothing else share their compact forms.

    :meth:`encode` runs in decoding processes. A recipe whose module does not import torch at its
    top, but only in :meth:`load` and :meth:`blank`, keeps them small.

    Example:
        >>> import torch
        >>> class Bytes(MediaRecipe):
        ...     suffix = ".bin"
        ...     def stored(self):
        ...         return {}
        ...     def encode(self, path, part=WHOLE):
        ...         return path.read_bytes()
        ...     def load(self, source, rng):
        ...         return torch.frombuffer(bytearray(source.read_bytes()), dtype=torch.uint8)
        ...     def blank(self, rng=None):
        ...         return torch.zeros(1, dtype=torch.uint8)
        >>> Bytes().fingerprint == Bytes().fingerprint
        True
        >>> Bytes().read(__file__)[:3].dtype
        torch.uint8
    """

    suffix: ClassVar[str]

    @abstractmethod
    def stored(self) -> dict[str, Any]:
        """Return name -> value of the arguments that determine the compact form."""

    @abstractmethod
    def encode(self, path: Path, part: Part = WHOLE) -> bytes:
        """Decode a file, or a part of it, into its compact form.

        Args:
            path: Source file.
            part: Part of the file to decode.

        Raises:
            MediaError: If the file cannot be decoded.
        """

    @abstractmethod
    def load(self, source: Path, rng: Generator) -> "Tensor":
        """Load a compact form as a tensor.

        Args:
            source: Path of the compact form.
            rng: Generator of the training view; None in evaluation.
        """

    def read(self, path: str | Path, part: Part = WHOLE) -> "Tensor":
        """Decode a file and load it as in evaluation: a new sample for a trained network.

        Args:
            path: Source file.
            part: Part of the file to decode.

        Raises:
            MediaError: If the file cannot be decoded.
        """
        with TemporaryDirectory() as folder:
            compact = Path(folder, f"sample{self.suffix}")
            compact.write_bytes(self.encode(Path(path), part))
            return self.load(compact, rng=None)

    @property
    def fingerprint(self) -> str:
        """Hash of the class and of all arguments that determine the compact form."""
        identity = {"recipe": type(self).__qualname__, "version": FORMAT_VERSION} | self.stored()
        text = json.dumps(identity, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]
