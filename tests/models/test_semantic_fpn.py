from typing import Any

import pytest
import torch

from fdkd_lightning.models.semantic_fpn import SemanticFPN

SMALL: dict[str, Any] = {"num_classes": 5, "channels": (4, 4, 8, 8), "width": 6}


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("size", [(48, 64), (33, 17), (10, 10), (1, 2)])
def test_logits_have_the_inputs_size_whatever_it_is(size: tuple[int, int], pool: bool) -> None:
    output = SemanticFPN(**SMALL, stem_pool=pool).eval()(torch.randn(2, 3, *size))
    assert output.logits.shape == (2, 5, *size)
    stride = 4 if pool else 2
    assert output.features.shape == (2, 6, -(-size[0] // stride), -(-size[1] // stride))
    assert [stage.shape[1] for stage in output.maps] == [4, 4, 8, 8]


def test_the_features_are_what_the_classifier_sees_after_a_relu() -> None:
    model = SemanticFPN(**SMALL, in_chans=1).eval()
    output = model(torch.randn(2, 1, 16, 24))
    assert output.features.min() == 0
    scores = model.classifier(output.features)
    larger = torch.nn.functional.interpolate(scores, size=(16, 24), mode="bilinear")
    assert torch.equal(larger, output.logits)


def test_every_parameter_has_a_gradient() -> None:
    """Several processes refuse parameters without one."""
    model = SemanticFPN(**SMALL)
    model(torch.randn(2, 3, 16, 16)).logits.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes=0 must be at least 1"),
        ({"width": 0}, "width=0 must be at least 1"),
        ({"in_chans": 0}, "in_chans=0 must be at least 1"),
        ({"layers": (1, 1)}, "layers=.* must have 4 entries"),
        ({"channels": (8, 8, 8, 0)}, "channels=0 must be at least 1"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SemanticFPN(**SMALL | arguments)


def test_another_number_of_channels_is_named() -> None:
    with pytest.raises(ValueError, match="in_chans"):
        SemanticFPN(**SMALL)(torch.randn(1, 1, 16, 16))
