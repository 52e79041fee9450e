from collections.abc import Callable

import numpy as np
import pytest
import torch

from fdkd_lightning.losses.feature import FeatureLoss, feature_loss
from fdkd_lightning.types import Output


def test_a_value_worked_out_by_hand() -> None:
    # (1 + 4 + 9 + 16) / 4
    student = torch.tensor([[1.0, -2.0], [3.0, 4.0]])
    assert feature_loss(student, torch.zeros(2, 2)).item() == 7.5


@pytest.mark.parametrize("shape", [(3, 7), (2, 64, 2, 3), (2, 5, 512), (3, 768)])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_the_mean_runs_over_all_elements(
    shape: tuple[int, ...], dtype: torch.dtype, error: float
) -> None:
    student, teacher = np.random.default_rng(0).normal(size=(2, *shape))
    expected = sum((student - teacher).flatten() ** 2) / student.size
    tensors = [torch.from_numpy(x).to(dtype) for x in (student, teacher)]
    assert feature_loss(*tensors).item() == pytest.approx(expected, rel=error)


def test_the_weight_is_a_factor(pair: Callable[..., tuple]) -> None:
    student, teacher, target = pair()
    term = FeatureLoss(weight=3)(student, teacher, target)["feature"]
    plain = feature_loss(student.features, teacher.features)
    assert term.item() == pytest.approx(3 * plain.item(), rel=1e-6)


@pytest.mark.parametrize("other", [(2, 9), (2, 1), (1, 8), (2, 8, 1, 1)])
def test_other_shapes_are_an_error_that_names_the_projector(other: tuple[int, ...]) -> None:
    student, teacher = (Output(torch.ones(s), torch.zeros(2, 3)) for s in ((2, 8), other))
    message = rf"\[2, 8\].*\[{', '.join(map(str, other))}\].*`projector`"
    with pytest.raises(ValueError, match=message):
        FeatureLoss()(student, teacher, torch.tensor([0, 1]))
