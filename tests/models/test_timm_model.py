from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models import save_for_hf
from torch import Tensor, nn

from fdkd_lightning.models.pretrained import PretrainedModel, load_pretrained
from fdkd_lightning.models.timm_model import TimmModel

# timm's own miniatures, of each family that says of itself where its classifier is.
FAMILIES = ["test_resnet", "test_efficientnet", "test_convnext", "test_vit", "test_byobnet"]


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def picture(model: Any, *shape: int) -> Tensor:
    """Of the size that the network asks for."""
    return torch.randn(*shape, *model.net.pretrained_cfg["input_size"][1:])


@pytest.fixture
def published(tmp_path: Path) -> str:
    """A folder that holds what the hub would: a network of 7 classes with weights."""
    torch.manual_seed(1)
    save_for_hf(timm.create_model("test_resnet", num_classes=7), tmp_path / "hub")
    return f"local-dir:{tmp_path / 'hub'}"


@pytest.mark.parametrize("name", [*FAMILIES, "mobilenetv2_035", "mobilenetv3_small_050"])
def test_features_are_what_the_classifier_gets_and_logits_are_timms(name: str) -> None:
    torch.manual_seed(0)
    model = TimmModel(name, num_classes=5).eval()
    x = picture(model, 2, 3)
    output = model(x)
    torch.testing.assert_close(output.logits, model.net(x))
    torch.testing.assert_close(model.net.get_classifier()(output.features), output.logits)
    assert output.features.shape == (2, model.net.get_classifier().in_features)
    assert output.logits.shape == (2, 5)
    assert all(stage.ndim == 4 for stage in output.maps)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("mobilenetv2_035", [16, 8, 4, 2]), ("test_resnet", [16, 8, 4, 2])],
)
def test_maps_are_those_of_the_last_four_stages(name: str, sizes: list[int]) -> None:
    model = TimmModel(name, num_classes=5)
    maps = model(torch.randn(2, 3, 64, 64)).maps
    assert [stage.shape[2] for stage in maps] == sizes
    channels = [stage["num_chs"] for stage in model.net.feature_info][-4:]
    assert [stage.shape[1] for stage in maps] == channels


def test_maps_of_a_vit_are_those_after_each_quarter_of_its_blocks_without_class_token() -> None:
    model = TimmModel("vit_tiny_patch16_224", num_classes=5).eval()
    seen: list[Tensor] = []
    for block in model.net.blocks:
        block.register_forward_hook(lambda *call: seen.append(call[-1]))
    maps = model(torch.randn(1, 3, 224, 224)).maps
    assert len(seen) == 12
    for stage, block in zip(maps, (2, 5, 8, 11), strict=True):
        assert stage.shape == (1, 192, 14, 14)
        torch.testing.assert_close(stage.flatten(2).transpose(1, 2), seen[block][:, 1:])


def test_one_pass_does_for_all() -> None:
    model, passes = TimmModel("test_resnet", num_classes=5), []
    model.net.layer4.register_forward_hook(lambda *call: passes.append(call))
    model(picture(model, 2, 3))
    assert len(passes) == 1


def test_averaged_frames_are_classified_by_their_mean() -> None:
    model = TimmModel("test_resnet", num_classes=5).eval()
    clip = picture(model, 2, 3, 3)
    output, frames = model(clip), model(clip.flatten(0, 1))
    torch.testing.assert_close(output.features, frames.features.unflatten(0, (2, 3)).mean(1))
    torch.testing.assert_close(output.logits, model.net.get_classifier()(output.features))
    assert [len(stage) for stage in output.maps] == [2] * 4


def test_stacked_frames_and_spectrograms_are_channels() -> None:
    model = TimmModel("test_efficientnet", num_classes=5, in_chans=6, frames="stack").eval()
    clip = picture(model, 2, 2, 3)
    torch.testing.assert_close(model(clip), model(clip.flatten(1, 2)))
    assert TimmModel("test_efficientnet", 5, in_chans=1)(clip[:, 0, :1]).logits.shape == (2, 5)
    with pytest.raises(ValueError, match="set in_chans=6, or in_chans=3 with frames='average'"):
        TimmModel("test_efficientnet", 5, frames="stack")(clip)


def test_all_weights_are_trained() -> None:
    model = TimmModel("test_vit", num_classes=5)
    output = model(picture(model, 2, 3))
    output.logits.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_published_weights_are_read_by_load_all_but_the_classifier(published: str) -> None:
    original = timm.create_model(published, pretrained=True).state_dict()
    model = TimmModel(published, num_classes=5, pretrained=True)
    before = weights(model)
    load_pretrained(model)
    for name, value in model.net.state_dict().items():
        if name.startswith("fc."):
            assert value.shape[0] == 5
        else:
            assert torch.equal(value, original[name]), name
    assert not torch.equal(before["net.conv1.0.weight"], original["conv1.0.weight"])


def test_load_moves_no_generator_and_without_pretrained_changes_nothing(published: str) -> None:
    plain = TimmModel(published, num_classes=5)
    before = weights(plain)
    plain.load()
    torch.testing.assert_close(weights(plain), before, rtol=0, atol=0)
    model = TimmModel(published, num_classes=5, pretrained=True)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    model.load()
    assert torch.equal(torch.rand(3), expected)


def test_a_checkpoint_needs_no_published_weights(tmp_path: Path) -> None:
    model = TimmModel("mobilenetv2_035", num_classes=5, pretrained=True)  # has none
    torch.save(model.state_dict(), tmp_path / "own.pt")
    other = TimmModel("mobilenetv2_035", num_classes=5, pretrained=True)
    load_pretrained(PretrainedModel(other, tmp_path / "own.pt"))
    torch.testing.assert_close(weights(other), weights(model), rtol=0, atol=0)


def test_what_contains_itself_begins_with_no_published_weights(published: str) -> None:
    model = TimmModel(published, num_classes=5, pretrained=True)
    again = TimmModel(published, num_classes=5, **model.self_contained())
    before = weights(again)
    again.load()
    assert all(torch.equal(value, before[name]) for name, value in weights(again).items())


def test_published_weights_that_cannot_be_had_are_an_error_with_the_ways_out() -> None:
    model = TimmModel("mobilenetv2_035", num_classes=5, pretrained=True)
    with pytest.raises(RuntimeError, match="weights of 'mobilenetv2_035' cannot") as error:
        model.load()
    for remedy in ("pretrained: false", "PretrainedModel", "HF_HOME", "No pretrained weights"):
        assert remedy in str(error.value)


def test_an_unknown_name_is_an_error_with_those_that_are_near() -> None:
    with pytest.raises(ValueError, match=r"'mobilnetv2_100': did you mean mobilenetv2_100 or"):
        TimmModel("mobilnetv2_100", num_classes=5)
    with pytest.raises(ValueError, match=r"no network name='_': choose another \(timm.list_models"):
        TimmModel("_", num_classes=5)


def test_a_network_with_two_classifiers_is_an_error_with_one_that_has_one() -> None:
    with pytest.raises(ValueError, match=r"choose .* 'deit_tiny_patch16_224'"):
        TimmModel("deit_tiny_distilled_patch16_224", num_classes=5)


def test_an_unknown_way_of_frames_is_an_error() -> None:
    other: Any = "mean"
    with pytest.raises(ValueError, match="frames='mean'"):
        TimmModel("test_resnet", 5, frames=other)


@pytest.mark.parametrize("name", ["num_classes", "in_chans"])
def test_sizes_below_one_are_refused(name: str) -> None:
    arguments = {"num_classes": 3, "in_chans": 3}
    with pytest.raises(ValueError, match=f"{name}=-3 must be at least 1"):
        TimmModel("resnet10t", **arguments | {name: -3})
    with pytest.raises(TypeError, match=f"{name}=2.5 must be a whole number"):
        TimmModel("resnet10t", **arguments | {name: 2.5})  # type: ignore[arg-type]
