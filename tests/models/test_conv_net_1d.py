from typing import Any

import pytest
import torch

from fdkd_lightning.models.conv_net_1d import ConvNet1d


def test_maps_halve_in_time_and_features_are_the_mean_of_the_last() -> None:
    output = ConvNet1d(4, in_chans=6, channels=(8, 16), kernel_sizes=(5, 3)).eval()(
        torch.randn(2, 6, 50)
    )
    assert [tuple(x.shape) for x in output.maps] == [(2, 8, 25, 1), (2, 16, 13, 1)]
    torch.testing.assert_close(output.features, output.maps[-1].mean((2, 3)))
    assert all((x >= 0).all() for x in output.maps)


def test_the_classifier_reads_the_features() -> None:
    net = ConvNet1d(4).eval()
    output = net(torch.randn(3, 3, 40))
    torch.testing.assert_close(output.logits, net.fc(output.features))


def test_a_later_signal_moves_the_maps_and_leaves_the_mean() -> None:
    # Two of stride 2: four samples are one position of the last map.
    net = ConvNet1d(2, in_chans=1, channels=(4, 8), kernel_sizes=(3, 3)).eval()
    early, late = torch.zeros(2, 1, 1, 64)
    early[..., 16:24] = 1
    late[..., 32:40] = 1
    first, second = net(early), net(late)
    torch.testing.assert_close(first.maps[-1][:, :, 2:9], second.maps[-1][:, :, 6:13])
    assert (first.maps[-1] - second.maps[-1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes=0"),
        ({"num_classes": 2, "in_chans": 0}, "in_chans=0"),
        ({"num_classes": 2, "channels": (8, 8), "kernel_sizes": (3,)}, r"one for each of the 2"),
        ({"num_classes": 2, "kernel_sizes": (9, 4, 3)}, r"kernel_sizes=\[9, 4, 3\] must be odd"),
        ({"num_classes": 2, "channels": ()}, r"channels=\(\) must be numbers"),
        ({"num_classes": 2, "channels": (8, 0, 8)}, "channels=0"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConvNet1d(**arguments)


def test_an_input_of_another_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"\[2, 1, 50\]: give \[N, 3, T\], or another in_chans"):
        ConvNet1d(2)(torch.zeros(2, 1, 50))
    with pytest.raises(ValueError, match=r"x has dtype torch.int64: give floating-point values"):
        ConvNet1d(2)(torch.zeros(2, 3, 50, dtype=torch.long))
