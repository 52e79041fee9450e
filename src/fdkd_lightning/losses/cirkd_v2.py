"""CIRKDv2: CIRKD with relations between channels, a non-local block and regressed features."""

from torch import Tensor, nn

from fdkd_lightning.losses.base import require_teacher
from fdkd_lightning.losses.cirkd import CIRKDLoss
from fdkd_lightning.losses.cirkd_channels import BLOCK, ChannelMemory
from fdkd_lightning.losses.cirkd_features import FeaturePair
from fdkd_lightning.losses.class_rows import PixelPositions
from fdkd_lightning.losses.non_local import NonLocalBlock
from fdkd_lightning.losses.permutations import Permutations
from fdkd_lightning.losses.pixels import Void, mean_of, pixel_rows, zero_where_void
from fdkd_lightning.ops.checks import check_count, check_flags, check_optional_weights
from fdkd_lightning.types import Output

CHANNEL_TERMS = ("channel_pairs", "channel_memory", "channel_mse")


class CIRKDv2Loss(CIRKDLoss):
    r"""Cross-image relational distillation with channels: the terms of CIRKD, and four more.

    - ``channel_pairs``: for each pair of images of the batch, the mean over the channels of the
      first of ``similarity_kl`` to the channels of the second; the mean over pairs. A channel
      is the vector of its values, average-pooled by 4x4 blocks, of unit length. The student's are
      projected to the teacher's channels first.
    - ``channel_memory``: the same to channels of a queue of the teacher's, of which up to 256 are
      added in each step.
    - ``channel_mse``: mean squared error of the channels.
    - ``fitnet``: mean squared error of the features, of which the student's are mapped to the
      teacher's width by a trained 1x1 convolution without bias.

    Like :class:`CIRKDLoss` it may take many times as long as the step of a small student, for the
    same reason.

    All terms of features compare the output of a ``NonLocalBlock`` of the student's features,
    which is trained and not needed afterwards. Pixels of target -100 take no part anywhere: blocks
    are averaged without them, and images without any other pixel add no channels to the queue.

    The weights are those of the official scripts (``fitnet`` is 1 for Cityscapes and ADE20K, 10 for
    Pascal VOC and COCO-Stuff). The official command line sets ``fitnet`` and ``channel_mse`` to 0;
    without ``fitnet`` it has no non-local block. Features whose sides are no multiples of 4 fail
    there; here blocks at the border are smaller.

    Args:
        lambda_kd: As for :class:`CIRKDLoss`, here and below where nothing else is stated.
        lambda_pixel_pairs: As there.
        lambda_pixel_memory: As there.
        lambda_region_memory: As there.
        lambda_channel_pairs: Weight of ``channel_pairs``; None leaves a term out.
        lambda_channel_memory: Weight of ``channel_memory``.
        lambda_channel_mse: Weight of ``channel_mse``.
        lambda_fitnet: Weight of ``fitnet``.
        kd_temperature: As there.
        temperature: As there.
        pixel_memory_size: As there.
        region_memory_size: As there.
        channel_memory_size: Vectors in the queue of channels.
        pixel_samples: As there.
        region_samples: As there.
        channel_samples: Channels that a step compares with.
        pixels_per_class: As there.
        pixel_positions: As there.
        void: As there.
        pixel_pooling: As there.
        non_local: Whether there is a non-local block.
        permutations: As there.

    Shape:
        - features: [N, D, H', W'], of one size during training; D may differ between the networks
        - logits: [N, K, H, W], the same for both
        - target: [N, H, W]

    Raises:
        ValueError: As for :class:`CIRKDLoss`; or if features have another size than in
            :meth:`build`.
        RuntimeError: If it is called before :meth:`build`.

    Reference:
        C. Yang et al., "Cross-Image Relational Knowledge Distillation with Contextual Modeling for
        Efficient Semantic Segmentation"; winycg/CIRKD, train_cirkdv2.py, losses/cirkd_channel.py,
        losses/gcn.py and losses/fitnet.py.

    Example:
        >>> import torch
        >>> output = Output(torch.randn(2, 8, 2, 3), torch.randn(2, 3, 4, 6))
        >>> loss = CIRKDv2Loss(pixel_memory_size=50, region_memory_size=20, channel_memory_size=9)
        >>> loss.build(output, output)
        >>> list(loss(output, output, torch.zeros(2, 4, 6, dtype=torch.long)))[4:]
        ['channel_pairs', 'channel_memory', 'channel_mse', 'fitnet']
    """

    channels: ChannelMemory | None
    non_local: NonLocalBlock | None
    regression: nn.Linear | None

    def __init__(
        self,
        lambda_kd: float | None = 1.0,
        lambda_pixel_pairs: float | None = 1.0,
        lambda_pixel_memory: float | None = 0.1,
        lambda_region_memory: float | None = 0.1,
        lambda_channel_pairs: float | None = 1.0,
        lambda_channel_memory: float | None = 0.1,
        lambda_channel_mse: float | None = 100.0,
        lambda_fitnet: float | None = 1.0,
        kd_temperature: float = 1.0,
        temperature: float = 0.1,
        pixel_memory_size: int = 20000,
        region_memory_size: int = 2000,
        channel_memory_size: int = 10000,
        pixel_samples: int = 4096,
        region_samples: int = 1024,
        channel_samples: int = 2048,
        pixels_per_class: int = 16,
        pixel_positions: PixelPositions = "class",
        void: Void = "exclude",
        pixel_pooling: int = 1,
        non_local: bool = True,
        permutations: Permutations | None = None,
    ) -> None:
        super().__init__(
            lambda_kd,
            lambda_pixel_pairs,
            lambda_pixel_memory,
            lambda_region_memory,
            kd_temperature,
            temperature,
            pixel_memory_size,
            region_memory_size,
            pixel_samples,
            region_samples,
            pixels_per_class,
            pixel_positions,
            void,
            pixel_pooling,
            permutations,
        )
        self.lambdas |= {
            "channel_pairs": lambda_channel_pairs,
            "channel_memory": lambda_channel_memory,
            "channel_mse": lambda_channel_mse,
            "fitnet": lambda_fitnet,
        }
        check_optional_weights(**{f"lambda_{name}": w for name, w in self.lambdas.items()})
        check_count("channel_memory_size", channel_memory_size, example=10000)
        check_count("channel_samples", channel_samples, example=2048)
        check_flags(non_local=non_local)
        self.channel_memory_size = channel_memory_size
        self.channel_samples = channel_samples
        self.uses_non_local = non_local
        self.channels = self.non_local = self.regression = None

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the parts of CIRKD, the non-local block, the regression and the channels'."""
        teacher = require_teacher(self, teacher)
        super().build(student, teacher)
        widths = student.features.shape[1], teacher.features.shape[1]
        if self.non_local is None and self.uses_non_local:
            self.non_local = NonLocalBlock(widths[0])
        if self.regression is None and self._uses("fitnet"):
            self.regression = nn.Linear(*widths, bias=False)
        if self.channels is None and self._uses(*CHANNEL_TERMS):
            height, width = (-(-n // BLOCK) for n in student.features.shape[2:])
            self.channels = ChannelMemory(
                *widths, height * width, self.channel_memory_size, self.channel_samples
            )

    def _feature_terms(self, pair: FeaturePair) -> dict[str, Tensor]:
        if self.uses_non_local:
            features = self._built(self.non_local)(pair.student, pair.counted)
            pair = pair._replace(student=zero_where_void(features, pair.counted))
        terms = super()._feature_terms(pair)
        if self._uses("fitnet"):
            terms["fitnet"] = self._fitnet(pair)
        if self._uses(*CHANNEL_TERMS):
            channels = self._built(self.channels)
            terms |= channels(pair, self.temperature, self.permutations)
        return terms

    def _fitnet(self, pair: FeaturePair) -> Tensor:
        regression, teacher = self._built(self.regression), pixel_rows(pair.teacher)
        student = regression(pixel_rows(pair.student).to(regression.weight.dtype))
        error = (student.to(teacher.dtype) - teacher).square()
        return mean_of(error, pair.counted.flatten()[:, None].expand_as(error))
