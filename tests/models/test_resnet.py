from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from fdkd_lightning.models.resnet import ResNet
from fdkd_lightning.types import Output

CHANNELS = (4, 8, 12, 16)


def used(model: ResNet) -> ResNet:
    """timm's blocks begin as the identity; here every weight takes part, as after training."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.running_mean)
    return model.eval()


def small(**arguments: Any) -> ResNet:
    torch.manual_seed(0)
    options: dict[str, Any] = {
        "num_classes": 5,
        "layers": (1, 1, 1, 1),
        "channels": CHANNELS,
    } | arguments
    return used(ResNet(**options))


def output(model: ResNet, size: tuple[int, int] = (64, 64), in_chans: int = 3) -> Output:
    generator = torch.Generator().manual_seed(0)
    result: Output = model(torch.randn(2, in_chans, *size, generator=generator))
    return result


@pytest.mark.parametrize(
    ("size", "stem_pool", "sizes"),
    [
        ((64, 64), True, [(16, 16), (8, 8), (4, 4), (2, 2)]),
        ((64, 64), False, [(32, 32), (16, 16), (8, 8), (4, 4)]),
        ((32, 63), False, [(16, 32), (8, 16), (4, 8), (2, 4)]),
    ],
)
def test_each_stage_gives_a_map_of_half_the_size(
    size: tuple[int, int], stem_pool: bool, sizes: list[tuple[int, int]]
) -> None:
    result = output(small(stem_pool=stem_pool), size)
    assert result.features.shape == (2, 16)
    assert result.logits.shape == (2, 5)
    expected = [(2, channels, *hw) for channels, hw in zip(CHANNELS, sizes, strict=True)]
    assert [tuple(m.shape) for m in result.maps] == expected
    assert result.index is None


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layers", [(1, 1, 1, 1), (1, 1, 1, 2)])
def test_features_are_the_last_residual_sum_averaged_before_its_relu(
    training: bool, layers: tuple[int, ...]
) -> None:
    model, seen = small(layers=layers).train(training), []
    model.net.layer4.register_forward_hook(lambda *call: seen.append(call[-1]))
    result = output(model)
    torch.testing.assert_close(result.features, seen[0].mean((2, 3)))
    torch.testing.assert_close(result.maps[-1], seen[0].clamp(min=0))
    assert (result.features < 0).any()
    assert (result.features > 0).any()


def test_every_map_is_after_its_relu() -> None:
    for stage in output(small()).maps:
        assert (stage >= 0).all()
        assert (stage == 0).any()
        assert (stage > 0).any()


def test_logits_classify_the_average_after_the_relu() -> None:
    model = small()
    result = output(model)
    pooled = result.maps[-1].mean((2, 3))
    expected = pooled @ model.net.fc.weight.T + model.net.fc.bias
    torch.testing.assert_close(result.logits, expected)


def test_its_logits_are_those_of_torchvisions_resnet18_with_the_same_weights() -> None:
    torch.manual_seed(0)
    model = used(ResNet(10))
    reference = torchvision.models.resnet18(num_classes=10).eval()
    reference.load_state_dict(model.net.state_dict())
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(model(x).logits, reference(x), rtol=1e-4, atol=1e-4)


def test_all_weights_are_trained_by_features_and_logits() -> None:
    model = small().train()
    result = output(model)
    (result.features.square().sum() + result.logits.square().sum()).backward()
    assert all(p.grad is not None and p.grad.count_nonzero() for p in model.parameters())


def test_the_relu_removed_is_the_last_alone() -> None:
    model = small(layers=(1, 1, 1, 2))
    first, last = model.net.layer4
    assert isinstance(first.act2, nn.ReLU)
    assert not isinstance(last.act2, nn.ReLU)


@pytest.mark.parametrize("in_chans", [1, 3, 6])
def test_in_chans_is_the_number_of_input_channels(in_chans: int) -> None:
    model = small(in_chans=in_chans)
    assert output(model, in_chans=in_chans).features.shape == (2, 16)
    with pytest.raises(ValueError, match=f"set in_chans={in_chans + 1}"):
        output(model, in_chans=in_chans + 1)


@pytest.mark.parametrize("num_classes", [1, 7])
def test_num_classes_is_the_width_of_the_logits(num_classes: int) -> None:
    assert output(small(num_classes=num_classes)).logits.shape == (2, num_classes)


def test_layers_are_the_blocks_of_each_stage() -> None:
    net = small(layers=(1, 2, 3, 1)).net
    stages = (net.layer1, net.layer2, net.layer3, net.layer4)
    assert [len(stage) for stage in stages] == [1, 2, 3, 1]


@pytest.mark.parametrize("training", [True, False])
def test_averaged_frames_are_the_mean_over_time_and_space_before_the_classifier(
    training: bool,
) -> None:
    model = small().train(training)
    clip = torch.randn(2, 3, 3, 32, 32)
    frames = model(clip.flatten(0, 1))
    model = small().train(training)  # its running statistics anew
    result = model(clip)
    assert result.features.shape == (2, 16)
    torch.testing.assert_close(result.features, frames.features.view(2, 3, 16).mean(1))
    # A linear layer of the mean is the mean of linear layers.
    torch.testing.assert_close(result.logits, frames.logits.view(2, 3, 5).mean(1))
    for stage, single in zip(result.maps, frames.maps, strict=True):
        torch.testing.assert_close(stage, single.unflatten(0, (2, 3)).mean(1))
    pooled = result.maps[-1].mean((2, 3))
    torch.testing.assert_close(result.logits, model.net.fc(pooled))


def test_the_order_of_averaged_frames_does_not_matter_and_that_of_stacked_ones_does() -> None:
    clip = torch.randn(2, 3, 3, 32, 32)
    average, stack = small(), small(in_chans=9, frames="stack")
    torch.testing.assert_close(average(clip.flip(1)), average(clip))
    assert not torch.allclose(stack(clip.flip(1)).features, stack(clip).features)


def test_stacked_frames_are_a_picture_of_more_channels() -> None:
    model, clip = small(in_chans=9, frames="stack"), torch.randn(2, 3, 3, 32, 32)
    torch.testing.assert_close(model(clip), model(clip.flatten(1, 2)))


def test_one_frame_is_a_picture() -> None:
    model, x = small(), torch.randn(2, 1, 3, 32, 32)
    torch.testing.assert_close(model(x), model(x[:, 0]))
    stack = small(frames="stack")
    torch.testing.assert_close(stack(x), model(x[:, 0]))


def test_frames_leave_the_names_of_weights() -> None:
    assert small().state_dict().keys() == small(frames="stack").state_dict().keys()
    assert all(name.startswith("net.") for name in small().state_dict())


def test_an_unknown_way_of_frames_is_an_error() -> None:
    with pytest.raises(ValueError, match="frames='mean'"):
        small(frames="mean")
