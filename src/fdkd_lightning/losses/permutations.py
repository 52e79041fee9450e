"""The random choices of CIRKD: which pixels enter its queues, and which keys are compared."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from fdkd_lightning.ops.checks import check_count


class Permutations(ABC):
    """Base class of given permutations, by which the choices of CIRKD can be repeated.

    A step of :class:`CIRKDLoss` calls it in the order of the official code: for each image and each
    class in it (in ascending order) with the number of the class's pixels, of which the first few
    enter the queue; then with the sizes of the pixel queues and of the region queues, whose first
    few positions are compared. :class:`CIRKDv2Loss` goes on with the number of channels of the
    batch and the size of the channel queue.

    It is called on the host, which waits for the device. Without it, the loss draws by itself and
    does not wait.

    Example:
        >>> class InOrder(Permutations):
        ...     def __call__(self, size):
        ...         return torch.arange(size)
        >>> InOrder()(3).tolist()
        [0, 1, 2]
    """

    @abstractmethod
    def __call__(self, size: int) -> Tensor:
        """Return a permutation of 0..size-1.

        Args:
            size: The number of elements.

        Shape:
            - output: [size] int64
        """


class PublishedPermutations(Permutations):
    """The published draws: ``torch.randperm`` from torch's global generator, on the CPU.

    From the same random state the loss then draws what the official code draws.

    Raises:
        TypeError, ValueError: If the size is no whole number of at least 1.

    Reference:
        winycg/CIRKD, losses/cirkd_memory.py and losses/cirkd_channel.py.

    Example:
        >>> PublishedPermutations()(4).sort().values.tolist()
        [0, 1, 2, 3]
    """

    def __call__(self, size: int) -> Tensor:
        """Draw a permutation."""
        check_count("size", size)
        return torch.randperm(size)


def given_permutation(permutations: Permutations, size: int, device: torch.device) -> Tensor:
    """Return a user's permutation, or raise if it is none.

    Args:
        permutations: The user's choices.
        size: The number of elements.
        device: Device of the result.

    Shape:
        - output: [size] int64

    Raises:
        ValueError: If it has another shape, another dtype, or repeats an element.

    Example:
        >>> given_permutation(PublishedPermutations(), 1, torch.device("cpu"))
        tensor([0])
    """
    found = permutations(size)
    if found.dtype != torch.int64 or found.shape != (size,):
        raise ValueError(
            f"permutations gave {found.dtype} {list(found.shape)}: let it return an int64 "
            f"permutation of {size} elements"
        )
    if not torch.equal(found.sort().values, torch.arange(size, device=found.device)):
        raise ValueError(
            f"permutations({size}) does not hold each of 0..{size - 1} once: let it return a "
            "permutation, such as torch.randperm(size)"
        )
    return found.to(device)
