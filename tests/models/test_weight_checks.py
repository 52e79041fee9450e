from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.models.weight_checks import check_numbers, check_weights


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 3)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
        self.register_buffer("is_even", torch.tensor([True, False]))


def changed(name: str, value: Any) -> dict[str, Tensor]:
    return {**Net().state_dict(), name: torch.as_tensor(value)}


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("fc.bias", [1, 2, 3], "fc.bias integers instead of floats"),
        ("fc.bias", [True, True, False], "fc.bias booleans instead of floats"),
        ("fc.bias", [1j, 1, 1], "fc.bias complex numbers instead of floats"),
        ("norm.num_batches_tracked", 1.5, "norm.num_batches_tracked floats instead of integers"),
        ("is_even", [1, 0], "is_even integers instead of booleans"),
        ("fc.bias", torch.zeros(3, device="meta"), "fc.bias no values instead of floats"),
        ("fc.bias", torch.ones(3).to_sparse(), "fc.bias sparse values instead of floats"),
        (
            "fc.bias",
            torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
            "fc.bias quantized values instead of floats",
        ),
        ("fc.bias", [1.0, float("nan"), 1.0], "1 hold NaN (such as fc.bias)"),
        ("fc.bias", [1.0, float("inf"), 1.0], "1 hold infinite values (such as fc.bias)"),
        ("norm.running_mean", [float("nan")] * 3, "1 hold NaN (such as norm.running_mean)"),
        ("norm.running_var", [1.0, -1.0, 1.0], "1 are negative variances"),
        ("mask", [0.0, float("nan")], "1 hold NaN (such as mask)"),
    ],
)
def test_weights_that_cannot_be_computed_with_are_named(name: str, value: Any, part: str) -> None:
    for check in (check_weights, check_numbers):
        with pytest.raises(ValueError, match=r"^file='a\.pt' ") as error:
            check("file='a.pt'", changed(name, value), Net().state_dict())
        assert part in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_and_the_networks_own_infinities_are_allowed(dtype: torch.dtype) -> None:
    weights = {
        n: w.to(dtype) if w.is_floating_point() else w for n, w in Net().state_dict().items()
    }
    check_weights("file='a.pt'", weights, Net().state_dict())
    check_weights("file='a.pt'", changed("norm.num_batches_tracked", 3), Net().state_dict())


def test_1e300_is_infinite_in_the_networks_float32() -> None:
    weights = changed("fc.bias", torch.full((3,), 1e300, dtype=torch.float64))
    with pytest.raises(ValueError, match="hold infinite values"):
        check_weights("file='a.pt'", weights, Net().state_dict())
    check_weights("file='a.pt'", weights, Net().double().state_dict())


def test_names_and_shapes_matter_unless_numbers_alone_are_checked() -> None:
    weights = changed("fc.weight", torch.ones(7, 2))
    weights["head"] = torch.tensor([torch.nan])
    del weights["fc.bias"]
    with pytest.raises(ValueError, match="does not fit Net") as error:
        check_weights("file='a.pt'", weights, Net().state_dict(), "Net")
    assert "1 weights are missing (such as fc.bias)" in str(error.value)
    assert "1 are not the model's (such as head)" in str(error.value)
    assert "1 have another shape (such as fc.weight [7, 2] instead of [3, 2])" in str(error.value)
    check_numbers("file='a.pt'", weights, Net().state_dict())


def test_an_error_has_one_example_each_and_names_the_configuration_of_the_fit(
    tmp_path: Path,
) -> None:
    for number, column in enumerate(("train/loss", "test/loss")):
        log = tmp_path / f"logs/version_{number}"
        log.mkdir(parents=True)
        (log / "config.yaml").touch()
        (log / "metrics.csv").write_text(f"epoch,{column}\n")
    path = tmp_path / "checkpoints/best.ckpt"
    wrong = {f"other.{name}": weight for name, weight in Net().state_dict().items()}
    with pytest.raises(ValueError, match="does not fit") as error:
        check_weights("ckpt_path='best.ckpt'", wrong, Net().state_dict(), checkpoint=path)
    assert str(error.value) == (
        "ckpt_path='best.ckpt' does not fit the model: 9 weights are missing (such as fc.bias); "
        "9 are not the model's (such as other.fc.bias). Give the model the arguments it was "
        f"trained with, as in {tmp_path}/logs/version_0/config.yaml"
    )


def test_parts_without_a_size_yet_are_left_out() -> None:
    lazy = nn.LazyLinear(3)
    check_numbers("file='a.pt'", {"weight": torch.ones(3, 2)}, lazy.state_dict())
