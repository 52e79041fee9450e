"""Evaluation of segmentation networks on overlapping windows, at several scales, mirrored."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.ops.checks import check_count, check_flags, check_range
from fdkd_lightning.types import Output


class DenseEvaluation:
    r"""Predict class maps from windows, scales and mirror images of an image.

    Every scale of the image, and its mirror image with ``mirror``, is one view. The logits of
    overlapping windows of a view are averaged, and the probabilities of the views:

    .. math:: z = \log \frac{1}{V} \sum_v \operatorname{softmax}(z_v)

    Without arguments the whole image is one window and one view, whose logits are returned as they
    are. Logits of a smaller size than the window are resized bilinearly.

    Args:
        window: Height and width of the windows, in pixels; None: the whole image. An image that is
            smaller is one window.
        stride: Distance of neighbouring windows, in pixels; None: two thirds of the window.
        scales: Factors by which the image is resized (bilinear).
        mirror: Whether each scale is also predicted from its mirror image.

    Shape:
        - network: input [N, C, H, W]; logits [N, K, H', W']
        - x: [N, C, H, W]
        - output: logits [N, K, H, W]; features likewise are the class scores [N, K, H, W] if there
          is more than one window or view, since their feature maps have no positions in common

    Raises:
        ValueError: If an argument is out of range, or an input is no image.

    Reference:
        Windows and their averages: open-mmlab/mmsegmentation
        mmseg/models/segmentors/encoder_decoder.py (``slide_inference``, crop 512, stride 341);
        averages over views: the same file and huaaaliu/RGBX_Semantic_Segmentation
        engine/evaluator.py.

    Example:
        >>> evaluate = DenseEvaluation(window=(4, 4), scales=(1.0, 2.0), mirror=True)
        >>> evaluate(lambda x: Output(x, x), torch.zeros(1, 2, 5, 7)).logits.exp()[0, 0, 0, 0]
        tensor(0.5000)
    """

    def __init__(
        self,
        window: tuple[int, int] | None = None,
        stride: tuple[int, int] | None = None,
        scales: Sequence[float] = (1.0,),
        mirror: bool = False,
    ) -> None:
        if window is not None:
            for side in window:
                check_count("window", side)
        if stride is not None:
            if window is None:
                raise ValueError(f"stride={stride} has no window: give window, or leave stride out")
            for side, most in zip(stride, window, strict=True):
                check_count("stride", side)
                check_range("stride", side, high=most)
        if not scales:
            raise ValueError("scales is empty: give at least one, such as 1.0")
        for scale in scales:
            check_range("scales", scale, above=0, example=1.0)
        check_flags(mirror=mirror)
        self.window = window
        self.stride = stride or (window and tuple(max(1, 2 * side // 3) for side in window))
        self.scales = tuple(scales)
        self.mirror = mirror

    def __call__(self, network: Callable[[Tensor], Output], x: Tensor) -> Output:
        """Return the averaged logits of all windows and views."""
        if x.ndim != 4:
            raise ValueError(
                f"evaluation: the input has shape {list(x.shape)}, no images [N, C, H, W]: leave "
                "evaluation out"
            )
        if self.window is None and self.scales == (1.0,) and not self.mirror:
            output = network(x)
            return output._replace(logits=_resized(output.logits, x.shape[2:]))
        views = []
        for scale in self.scales:
            size = [max(1, round(scale * side)) for side in x.shape[2:]]
            view = _resized(x, torch.Size(size))
            views.append(self._logits(network, view))
            if self.mirror:
                views.append(self._logits(network, view.flip(3)).flip(3))
        views = [_resized(logits, x.shape[2:]) for logits in views]
        if len(views) == 1:
            return Output(views[0], views[0])
        log_probabilities = torch.stack([logits.log_softmax(1) for logits in views])
        logits = log_probabilities.logsumexp(0) - torch.tensor(len(views)).log().to(x.device)
        return Output(logits, logits)

    def _logits(self, network: Callable[[Tensor], Output], x: Tensor) -> Tensor:
        """Average the logits of the windows of one view, in float32."""
        height, width = x.shape[2:]
        if self.window is None or self.stride is None:
            return _resized(network(x).logits.float(), x.shape[2:])
        h, w = min(self.window[0], height), min(self.window[1], width)
        total, count = None, x.new_zeros(1, 1, height, width, dtype=torch.float32)
        for top in _starts(height, h, self.stride[0]):
            for left in _starts(width, w, self.stride[1]):
                part = (..., slice(top, top + h), slice(left, left + w))
                logits = _resized(network(x[part]).logits.float(), torch.Size([h, w]))
                if total is None:
                    total = logits.new_zeros(*logits.shape[:2], height, width)
                total[part] += logits
                count[part] += 1
        assert total is not None
        return total / count


def _starts(side: int, window: int, stride: int) -> list[int]:
    """Return where windows begin: a stride apart, the last one at the end of the side."""
    return [*range(0, side - window, stride), side - window]


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    if x.shape[2:] == size:
        return x
    return F.interpolate(x, list(size), mode="bilinear", align_corners=False)
