"""Split the features of two networks and compare the bands, by one function where that is right."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fdkd_lightning.decoupler.base import Decoupler, OrthogonalDecoupler
from fdkd_lightning.losses.labelled_positions import LabelledPositions, distance
from fdkd_lightning.losses.log_mse import LogMSELoss
from fdkd_lightning.losses.standardizer import Standardizer, UnitLength
from fdkd_lightning.ops.band_distances import band_distances
from fdkd_lightning.ops.hooks import has_hooks
from fdkd_lightning.ops.linear_split import LowPart
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import Bands


class BandComparison(NamedTuple):
    """The distances of :class:`FDKDLoss` between two networks' bands, before reduction and weights.

    With the default parts and a fixed split they are computed by
    :func:`~fdkd_lightning.ops.band_distances.band_distances`, else part by part, with the same
    result up to rounding.

    Args:
        decoupler: The split.
        low_loss: Distance of the low bands.
        high_loss: Distance of the high bands.
        band_standardizer: Standardises each band.
        feature_standardizer: Standardises the features before the split; None: not.
        high_transform: Applied to the high bands before they are standardised; None: nothing.

    Example:
        >>> from fdkd_lightning.decoupler.frequency import FrequencyDecoupler
        >>> compare = BandComparison(FrequencyDecoupler(), nn.MSELoss(), LogMSELoss(), UnitLength())
        >>> compare(torch.tensor([[2.0, 0.0, 5.0, 1.0]]), torch.tensor([[1.0, 2.0, 0.0, 5.0]]))
        (tensor(0.5000), tensor(0.6576), None)
    """

    decoupler: Decoupler
    low_loss: nn.Module
    high_loss: nn.Module
    band_standardizer: Standardizer
    feature_standardizer: Standardizer | None = None
    high_transform: nn.Module | None = None

    def __call__(
        self,
        student: Tensor,
        teacher: Tensor,
        labelled: LabelledPositions | None = None,
        with_bands: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the distances of the low and the high bands, and the bands of both networks.

        Args:
            student: The student's features.
            teacher: The teacher's features.
            labelled: The positions that count, at others both features are 0; None: all.
            with_bands: Also return the low, then the high bands, before standardisation, the
                student's followed by the teacher's.

        Shape:
            - student, teacher: [N, ..., D, ...], the same
            - output: two scalars, and [2, 2N, ..., D, ...] or None
        """
        student, teacher = at_least_float32(student), at_least_float32(teacher)
        part = self.fused_low_part(student, teacher, with_bands)
        if part is None or not student.numel():  # there is no Fourier transform of no samples
            return self.part_by_part(student, teacher, labelled, with_bands)
        plain = partial(self.part_by_part, labelled=None, with_bands=with_bands)
        dim = self.decoupler.dim
        low, high, bands = band_distances(student, teacher, part, dim, with_bands, plain)
        if labelled is not None:
            low, high = labelled.share(low), labelled.share(high)
        return low, high, bands

    def fused_low_part(self, student: Tensor, teacher: Tensor, with_bands: bool) -> LowPart | None:
        """Return the projection that a fused function needs.

        Args:
            student: The student's features, at least float32.
            teacher: The teacher's features.
            with_bands: Whether the bands are used, too.

        Returns:
            The projection; None where a fused function does something else than the parts.

        Shape:
            - student, teacher: [N, ..., D, ...], the same
        """
        decoupler, low_loss = self.decoupler, self.low_loss
        if (
            torch.compiler.is_compiling()  # a compiler fuses the parts itself
            or self.feature_standardizer is not None
            or self.high_transform is not None
            or not isinstance(decoupler, OrthogonalDecoupler)
            or type(decoupler).forward is not OrthogonalDecoupler.forward
            or type(low_loss) is not nn.MSELoss
            or low_loss.reduction != "mean"
            or type(self.high_loss) is not LogMSELoss
            or type(self.band_standardizer) is not UnitLength
            or has_hooks(decoupler, low_loss, self.high_loss, self.band_standardizer)
            or student.dtype != teacher.dtype
            # Autograd cannot save them.
            or (torch.is_grad_enabled() and (student.is_inference() or teacher.is_inference()))
        ):
            return None
        dim, ndim = decoupler.dim, student.ndim
        if not -ndim <= dim < ndim:  # refused by the parts
            return None
        # The bands of both networks come along axis 0, and without the mean.
        if with_bands and (decoupler.keep_dc or dim % ndim == 0):
            return None
        return decoupler.low_part(student.shape[dim])

    def part_by_part(
        self,
        student: Tensor,
        teacher: Tensor,
        labelled: LabelledPositions | None,
        with_bands: bool,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Compute the same for any parts, and with any number of derivatives."""
        student_bands, teacher_bands = self.decoupler(student), self.decoupler(teacher)  # Eq. 1-3
        student_low, student_high = self._standardize(student, student_bands)  # Eq. 7
        teacher_low, teacher_high = self._standardize(teacher, teacher_bands)
        low = distance(self.low_loss, student_low, teacher_low, labelled)  # Eq. 8
        high = distance(self.high_loss, student_high, teacher_high, labelled)  # Eq. 6, 9
        if not with_bands:
            return low, high, None
        bands = [torch.cat(pair) for pair in zip(student_bands, teacher_bands, strict=True)]
        return low, high, torch.stack(bands)

    def _standardize(self, features: Tensor, bands: Bands) -> Bands:
        """Standardise the bands of one network."""
        dim = self.decoupler.dim
        if self.feature_standardizer is not None:
            features = self.feature_standardizer(features, dim)
            bands = self.decoupler(features)
        low = self.band_standardizer(bands.low, dim, features)
        high = bands.high
        if self.high_transform is not None:
            high, features = self.high_transform(high), self.high_transform(features)
        return Bands(low, self.band_standardizer(high, dim, features))
