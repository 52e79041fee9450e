"""CIRKD: relations of pixels to those of other images, and to pixels and regions of a memory."""

from typing import TypeVar, get_args

from torch import Tensor, nn

from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.cirkd_features import (
    FeaturePair,
    counted_logits,
    feature_pair,
    pixel_pairs,
)
from fdkd_lightning.losses.cirkd_memory import ClassMemory, Kind
from fdkd_lightning.losses.class_rows import PixelPositions
from fdkd_lightning.losses.permutations import Permutations
from fdkd_lightning.losses.pixels import Void, check_feature_maps, mean_of, zero_where_void
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.checks import (
    check_choice,
    check_count,
    check_optional_weights,
    check_range,
)
from fdkd_lightning.ops.divergence import check_logits, softened_kl
from fdkd_lightning.types import Output

M = TypeVar("M", bound=nn.Module)


class CIRKDLoss(DistillationLoss):
    r"""Cross-image relational distillation for segmentation.

    .. math::
        L = \lambda_1 \, \mathrm{kd} + \lambda_2 \, \mathrm{pixel\_pairs}
        + \lambda_3 \, \mathrm{pixel\_memory} + \lambda_4 \, \mathrm{region\_memory}

    - ``kd``: mean over pixels of the softened divergence of the logits.
    - ``pixel_pairs``: for each pair of images of the batch, the mean over the pixels of the first
      of ``similarity_kl`` to the pixels of the second, of features of unit length; the mean
      over pairs.
    - ``pixel_memory``, ``region_memory``: the mean over labelled pixels of the divergence of their
      similarities to vectors of the teacher's queues. The student's pixels are projected to the
      teacher's width first (trained: 1x1 convolution, BatchNorm, ReLU, 1x1 convolution).

    Each class has a queue of the teacher's pixels (up to ``pixels_per_class`` of each image) and
    one of its regions (an image's mean over the class). They start with random directions, are
    filled in training before the comparison, and are part of the checkpoint. Memory use: K times D
    times the sum of both sizes, in float32 (K = 40, D = 256: 0.9 GB by default).

    The official code compares void pixels in ``kd`` and ``pixel_pairs``, and normalises the
    projection over them. Here pixels of target -100 take no part anywhere, neither in BatchNorm nor
    as keys; without any other pixel all terms are 0. ``void="keep"`` is the official choice. It is
    also the one for images without labels among labelled ones, which otherwise teach nothing.

    It may take many times as long as the step of a small student: each pixel of the batch is
    compared with every other one and with ``pixel_samples`` vectors. A ``pixel_pooling`` of 2
    leaves a sixteenth of the pairs.

    Under DDP the queues of all ranks are the same, and means run over the pixels of all ranks;
    pairs are those within a rank, as in the official code.

    Args:
        lambda_kd: Weight of ``kd``; None leaves a term out, here and below.
        lambda_pixel_pairs: Weight of ``pixel_pairs``.
        lambda_pixel_memory: Weight of ``pixel_memory``; 0.01 officially on Pascal VOC.
        lambda_region_memory: Weight of ``region_memory``; 0.01 officially on Pascal VOC.
        kd_temperature: Temperature of ``kd``, above 0.
        temperature: Tau of the similarities, above 0.
        pixel_memory_size: Vectors per class in the pixel queues.
        region_memory_size: Vectors per class in the region queues.
        pixel_samples: Pixels that a step compares with: this // K + 1 of each class.
        region_samples: Regions that a step compares with: this // K + 1 of each class.
        pixels_per_class: Most pixels of a class that an image adds to its queue.
        pixel_positions: ``"class"`` adds pixels of the class. ``"published"`` adds as many of the
            image's first positions, whatever is there: the official code indexes the image where
            the class is meant.
        void: ``"exclude"`` or ``"keep"``, see above.
        pixel_pooling: Average-pool the features of ``pixel_pairs`` by this factor; its cost grows
            with the square of the number of pixels.
        permutations: The random choices; None: drawn from torch's global generator.

    Shape:
        - features: [N, D, H', W']; D may differ between the networks
        - logits: [N, K, H, W], the same for both
        - target: [N, H, W]; the features have the labels of the nearest pixels

    Raises:
        ValueError: If an argument is out of range, no term is left, outputs are no maps or differ
            in size, the target holds no class of them (on a CPU), or there is no teacher.
        RuntimeError: If it is called before :meth:`build`.

    Reference:
        C. Yang et al., "Cross-Image Relational Knowledge Distillation for Semantic Segmentation"
        (arXiv 2204.06986); winycg/CIRKD, train_cirkd.py, losses/cirkd_memory.py and
        losses/cirkd_mini_batch.py.

    Example:
        >>> import torch
        >>> output = Output(torch.randn(2, 8, 2, 3), torch.randn(2, 3, 4, 6))
        >>> loss = CIRKDLoss(pixel_memory_size=50, region_memory_size=20)
        >>> loss.build(output, output)
        >>> list(loss(output, output, torch.zeros(2, 4, 6, dtype=torch.long)))
        ['kd', 'pixel_pairs', 'pixel_memory', 'region_memory']
    """

    memory: ClassMemory | None

    def __init__(
        self,
        lambda_kd: float | None = 1.0,
        lambda_pixel_pairs: float | None = 1.0,
        lambda_pixel_memory: float | None = 0.1,
        lambda_region_memory: float | None = 0.1,
        kd_temperature: float = 1.0,
        temperature: float = 0.1,
        pixel_memory_size: int = 20000,
        region_memory_size: int = 2000,
        pixel_samples: int = 4096,
        region_samples: int = 1024,
        pixels_per_class: int = 16,
        pixel_positions: PixelPositions = "class",
        void: Void = "exclude",
        pixel_pooling: int = 1,
        permutations: Permutations | None = None,
    ) -> None:
        super().__init__()
        self.lambdas: dict[str, float | None] = {
            "kd": lambda_kd,
            "pixel_pairs": lambda_pixel_pairs,
            "pixel_memory": lambda_pixel_memory,
            "region_memory": lambda_region_memory,
        }
        check_optional_weights(**{f"lambda_{name}": w for name, w in self.lambdas.items()})
        check_range("kd_temperature", kd_temperature, above=0, example=1)
        check_range("temperature", temperature, above=0, example=0.1)
        check_count("pixel_memory_size", pixel_memory_size, example=20000)
        check_count("region_memory_size", region_memory_size, example=2000)
        check_count("pixel_samples", pixel_samples, example=4096)
        check_count("region_samples", region_samples, example=1024)
        check_count("pixels_per_class", pixels_per_class, example=16)
        check_choice("pixel_positions", pixel_positions, get_args(PixelPositions))
        check_choice("void", void, get_args(Void))
        check_count("pixel_pooling", pixel_pooling)
        self.kd_temperature = kd_temperature
        self.temperature = temperature
        self.pixel_memory_size = pixel_memory_size
        self.region_memory_size = region_memory_size
        self.pixel_samples = pixel_samples
        self.region_samples = region_samples
        self.pixels_per_class = pixels_per_class
        self.pixel_positions = pixel_positions
        self.void = void
        self.pixel_pooling = pixel_pooling
        self.permutations = permutations
        self.memory = None

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the projection and the queues for the maps' channels and the classes."""
        teacher = require_teacher(self, teacher)
        check_feature_maps(student, teacher)
        check_logits(student.logits, teacher.logits)
        self._check_terms()
        kinds = [kind for kind in get_args(Kind) if self._uses(f"{kind}_memory")]
        if self.memory is None and kinds:
            self.memory = ClassMemory(
                student.features.shape[1],
                teacher.features.shape[1],
                student.logits.shape[1],
                kinds,
                self.pixel_memory_size,
                self.region_memory_size,
                self.pixel_samples,
                self.region_samples,
                self.pixels_per_class,
                self.pixel_positions,
            )

    def tasks(self) -> tuple[type[Task], ...]:
        """Return the task of a softmax and of regions of a class."""
        return (OneClassTask,)

    def single_teacher_only(self) -> bool:
        """Return True: the queues hold one teacher's vectors."""
        return True

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms."""
        teacher = require_teacher(self, teacher)
        pair = feature_pair(student, teacher, target, self.void)
        terms = {}
        if self._uses("kd"):
            terms["kd"] = self._kd(student, teacher, target)
        terms |= self._feature_terms(pair)
        return {
            name: weight * terms[name]
            for name, weight in self.lambdas.items()
            if weight is not None
        }

    def _feature_terms(self, pair: FeaturePair) -> dict[str, Tensor]:
        terms = {}
        if self._uses("pixel_pairs"):
            terms["pixel_pairs"] = pixel_pairs(pair, self.temperature, self.pixel_pooling)
        if self._uses("pixel_memory", "region_memory"):
            memory = self._built(self.memory)
            terms |= memory(pair, self.temperature, self.permutations)
        return terms

    def _built(self, part: M | None) -> M:
        if part is None:
            raise RuntimeError(
                f"{type(self).__name__} has no memory yet: call build(student, teacher) with the "
                "outputs of a batch before the first forward"
            )
        return part

    def _kd(self, student: Output, teacher: Output, target: Tensor) -> Tensor:
        check_logits(student.logits, teacher.logits)
        counted = counted_logits(target, teacher, self.void)
        own, its = (zero_where_void(x, counted) for x in (student.logits, teacher.logits))
        divergence = softened_kl(own, its, self.kd_temperature, reduction="none")
        return mean_of(divergence, counted)

    def _uses(self, *names: str) -> bool:
        return any(self.lambdas[name] is not None for name in names)

    def _check_terms(self) -> None:
        if not self._uses(*self.lambdas):
            names = ", ".join(f"lambda_{name}" for name in self.lambdas)
            raise ValueError(f"{names} are all None, which leaves no term: give one a weight")
