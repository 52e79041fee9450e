from typing import Any

import pytest
import torch
from torch import Tensor

from fdkd_lightning.models.layers import Layers


def counted(*shape: int) -> Tensor:
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)


MASK = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])


def test_vectors_are_features_whatever_is_asked_of_tokens() -> None:
    x = counted(2, 8)
    for pooling in ("mean", "cls", "last"):
        layers = Layers(pooling=pooling, prefix_tokens=1, grid=(9, 9))  # type: ignore[arg-type]  # mypy: a str
        assert layers.feature_of(x, MASK) is x


def test_kept_tokens_are_a_row_and_padding_is_zero_in_it() -> None:
    x = counted(2, 5, 3) + 1
    features = Layers().feature_of(x, MASK)
    assert features.shape == (2, 3, 1, 5)
    assert torch.equal(features[0, :, 0, :3], x[0, :3].T)
    assert features[0, :, 0, 3:].eq(0).all()
    assert torch.equal(features[1, :, 0], x[1].T)


def test_pooled_tokens_are_those_that_are_not_padding() -> None:
    x = counted(2, 5, 3)
    expected = {
        "cls": torch.stack([x[0, 0], x[1, 0]]),
        "mean": torch.stack([(x[0, 0] + x[0, 1] + x[0, 2]) / 3, x[1].sum(0) / 5]),
        "last": torch.stack([x[0, 2], x[1, 4]]),
    }
    for pooling, features in expected.items():
        found = Layers(pooling=pooling).feature_of(x, MASK)  # type: ignore[arg-type]  # mypy: a str
        torch.testing.assert_close(found, features)


def test_prefix_tokens_are_in_no_mean_and_no_map_but_the_first_is_the_class_token() -> None:
    x = counted(2, 5, 3)
    found = Layers(pooling="mean", prefix_tokens=2).feature_of(x, MASK)
    torch.testing.assert_close(found[0], x[0, 2])
    torch.testing.assert_close(found[1], (x[1, 2] + x[1, 3] + x[1, 4]) / 3)
    assert torch.equal(Layers(pooling="cls", prefix_tokens=2).feature_of(x, None), x[:, 0])
    assert Layers(prefix_tokens=2).map_of(x, None).shape == (2, 3, 1, 3)


def test_tokens_lie_on_their_grid_row_by_row() -> None:
    x = counted(2, 7, 3)
    positions = Layers(prefix_tokens=1, grid=(2, 3)).feature_of(x, None)
    assert positions.shape == (2, 3, 2, 3)
    for row in range(2):
        for column in range(3):
            assert torch.equal(positions[:, :, row, column], x[:, 1 + 3 * row + column])


def test_sequences_of_1d_convolutions_have_their_channels_first() -> None:
    x = counted(2, 3, 5)
    assert torch.equal(Layers(channel_dim=1).map_of(x, None), x.unsqueeze(2))
    mean = Layers(channel_dim=1, pooling="mean").feature_of(x, MASK)
    torch.testing.assert_close(mean[0], x[0, :, :3].mean(1))
    torch.testing.assert_close(mean[1], x[1].mean(1))
    # As an adaptive average leaves it.
    assert torch.equal(Layers(channel_dim=1).feature_of(x[..., :1], None), x[..., 0])


def test_maps_may_have_their_channels_last() -> None:
    x = counted(2, 4, 5, 3)
    assert torch.equal(Layers(channel_dim=-1).map_of(x, None), x.permute(0, 3, 1, 2))
    mean = Layers(channel_dim=-1, pooling="mean").feature_of(x, None)
    torch.testing.assert_close(mean, x.mean((1, 2)))


def test_maps_and_clips_are_averaged_over_their_places() -> None:
    for shape in ((2, 3, 4, 5), (2, 3, 2, 4, 5)):
        x = counted(*shape)
        mean = Layers(pooling="mean").feature_of(x, None)
        torch.testing.assert_close(mean, x.flatten(2).mean(2))
    assert Layers().map_of(x[:, :, 0], None).shape == (2, 3, 4, 5)


def test_a_map_of_one_place_is_a_vector_and_a_text_of_one_token_is_not() -> None:
    assert Layers().feature_of(counted(2, 3, 1, 1), None).shape == (2, 3)
    assert Layers(channel_dim=-1).feature_of(counted(2, 1, 1, 3), None).shape == (2, 3)
    assert Layers().map_of(counted(2, 3, 1, 1), None).shape == (2, 3, 1, 1)
    # Else the features of a batch would have another rank where all texts are short.
    assert Layers().feature_of(counted(2, 1, 3), None).shape == (2, 3, 1, 1)


def test_logits_of_tokens_are_a_row_of_places() -> None:
    x = counted(2, 5, 3)
    assert torch.equal(Layers().logits_of(x), x.mT.unsqueeze(2))
    assert torch.equal(Layers(channel_dim=1).logits_of(x), x.unsqueeze(2))
    for other in (counted(2, 3), counted(2, 3, 4, 5)):
        assert Layers().logits_of(other) is other


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pooling": "max"}, r"pooling='max' is unknown: choose 'cls', 'mean', 'last' or None"),
        ({"prefix_tokens": -1}, r"prefix_tokens=-1 must be at least 0"),
        ({"maps": "layer4"}, r"maps='layer4' must be a list of layers: \['layer4'\]"),
        ({"tokens": "image"}, "tokens='image' is unknown: choose 'attended' or 'all'"),
        ({"tokens": -1}, r"tokens=-1 must be at least 0"),
        ({"channel_dim": 3}, r"channel_dim=3 is unknown: choose 1, -1 or None"),
    ],
)
def test_unknown_options_raise(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layers(**arguments)


@pytest.mark.parametrize("argument", ["features", "logits"])
def test_a_layers_number_is_its_name(argument: str) -> None:
    with pytest.raises(TypeError, match=f"{argument}=2 must be a layer's name: '2'"):
        Layers(**{argument: 2})  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize("value", [True, 0])
def test_logits_are_a_name_or_false(value: Any) -> None:
    assert Layers("norm", logits=False).logits is False
    with pytest.raises(TypeError, match=f"logits={value} must be"):
        Layers("norm", logits=value)
    with pytest.raises(TypeError, match="features=False must be"):
        Layers(False)  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({}, (2, 3, 2, 4, 5), r"\[2, 3, 2, 4, 5\].* or, for features, set pooling='mean'"),
        ({}, (2,), r"\[2\], which is no map .* name another layer"),
        ({"pooling": "mean"}, (2,), r"\[2\], which is no map .* name another layer"),
        ({"pooling": "cls"}, (2, 3, 4, 5), r"pooling='cls' needs tokens .* set pooling='mean'"),
        (
            {"grid": (2, 2), "prefix_tokens": 1},
            (2, 4, 3),
            r"grid=\[2, 2\] has 4 positions, but after prefix_tokens=1 there are 3 tokens",
        ),
    ],
)
def test_a_tensor_that_does_not_fit_says_what_to_set(
    arguments: dict[str, Any], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Layers(**arguments).feature_of(counted(*shape), None)


def test_a_mask_of_other_tokens_is_an_error_and_not_a_guess() -> None:
    message = r"attention_mask is of 5 tokens, but a layer gives \[2, 4, 3\].*channel_dim=1"
    for pooling in ("mean", None):
        with pytest.raises(ValueError, match=message):
            Layers(pooling=pooling).feature_of(counted(2, 4, 3), MASK)  # type: ignore[arg-type]  # mypy: a str
    assert Layers(pooling="mean").feature_of(counted(2, 3, 4, 5), MASK).shape == (2, 3)


@pytest.mark.parametrize("maps", [3, [3], None, {"layer4"}])
def test_maps_are_names(maps: Any) -> None:
    with pytest.raises(
        TypeError, match=r"maps=.* must be a list of layers' names, as \['layer4'\]"
    ):
        Layers(maps=maps)
