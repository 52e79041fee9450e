from typing import Any

import pytest
import torch
from segmentation_models_pytorch import DeepLabV3Plus as Reference, encoders

from fdkd_lightning.models.deeplab import DeepLabV3Plus
from fdkd_lightning.models.pretrained import PretrainedModel, load_pretrained

TINY = "tu-mobilenetv3_small_050"


def tiny(**arguments: Any) -> DeepLabV3Plus:
    torch.manual_seed(0)
    return DeepLabV3Plus(**{"num_classes": 5, "encoder": TINY} | arguments)


def test_it_is_smps_network() -> None:
    model = tiny().eval()
    reference = Reference(TINY, encoder_weights=None, classes=5)
    reference.load_state_dict(model.net.state_dict())
    x = torch.randn(2, 3, 64, 96)
    assert torch.equal(model(x).logits, reference.eval()(x))


def test_the_features_are_what_the_classifier_sees() -> None:
    model = tiny().eval()
    output = model(torch.randn(1, 3, 32, 64))
    assert output.features.shape == (1, 256, 8, 16)
    assert output.features.min() >= 0  # after a ReLU
    assert torch.equal(model.net.segmentation_head(output.features), output.logits)


def test_resnets_stages_are_maps_and_the_last_is_dilated() -> None:
    output = DeepLabV3Plus(5).eval()(torch.randn(1, 3, 64, 64))
    shapes = [tuple(stage.shape[1:]) for stage in output.maps]
    assert shapes == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 4, 4)]


@pytest.mark.parametrize("size", [(50, 70), (33, 17), (64, 48)])
def test_logits_have_the_inputs_size_whatever_it_is(size: tuple[int, int]) -> None:
    output = tiny().eval()(torch.randn(2, 3, *size))
    assert output.logits.shape == (2, 5, *size)
    assert output.features.shape[2:] == (-(-size[0] // 4), -(-size[1] // 4))


def test_a_filled_up_picture_is_the_larger_one_cut() -> None:
    model = tiny().eval()
    x = torch.randn(1, 3, 50, 70)
    larger = torch.zeros(1, 3, 64, 80)
    larger[..., :50, :70] = x
    assert torch.equal(model(x).logits, model(larger).logits[..., :50, :70])


def test_depth_has_one_channel_and_gradients_reach_it() -> None:
    x = torch.randn(2, 1, 32, 32, requires_grad=True)
    tiny(in_chans=1)(x).logits.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_an_unknown_encoder_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"encoder='resnet19' cannot be the encoder of a DeepLabV3\+"
    ):
        tiny(encoder="resnet19")


def test_imagenets_weights_are_fetched_when_fit_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = encoders.get_encoder

    def fetch(name: str, channels: int, weights: Any, output_stride: int) -> Any:
        asked.append((name, channels, weights, output_stride))
        encoder = real(name, channels, weights=None, output_stride=output_stride)
        for parameter in encoder.parameters():
            torch.nn.init.constant_(parameter, 0.25)
        return encoder

    monkeypatch.setattr(encoders, "get_encoder", fetch)
    model = DeepLabV3Plus(5, in_chans=1, pretrained=True)
    decoder = model.net.decoder.block1[0].weight.clone()
    assert asked == []
    state = torch.random.get_rng_state()
    load_pretrained(model)
    assert asked == [("resnet18", 1, "imagenet", 16)]
    assert all((p == 0.25).all() for p in model.net.encoder.parameters())
    assert torch.equal(model.net.decoder.block1[0].weight, decoder)
    assert torch.equal(torch.random.get_rng_state(), state)
    load_pretrained(tiny())
    assert len(asked) == 1


def test_weights_that_cannot_be_fetched_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(encoders, "get_encoder", fail)
    model = tiny(pretrained=True)
    with pytest.raises(RuntimeError, match=r"no route to host.*set pretrained: false"):
        model.load()


def test_a_teachers_checkpoint_spares_the_download(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(encoders, "get_encoder", lambda *_, **__: pytest.fail("it was fetched"))
    model = tiny()
    torch.save(model.state_dict(), tmp_path / "teacher.ckpt")
    teacher = PretrainedModel(tiny(pretrained=True), tmp_path / "teacher.ckpt")
    load_pretrained(teacher)
    for name, value in teacher.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[name])


def test_what_contains_itself_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any, **__: Any) -> None:
        raise AssertionError("fetched")

    model = tiny(pretrained=True)
    monkeypatch.setattr(encoders, "get_encoder", fetch)
    tiny(**model.self_contained()).load()
    with pytest.raises(RuntimeError, match="fetched"):
        model.load()


@pytest.mark.parametrize("name", ["num_classes", "in_chans"])
def test_sizes_below_one_are_refused(name: str) -> None:
    arguments: dict[str, Any] = {"num_classes": 3, "in_chans": 3}
    with pytest.raises(ValueError, match=f"{name}=-3 must be at least 1"):
        DeepLabV3Plus(**arguments | {name: -3})
    with pytest.raises(TypeError, match="encoder=3 must be a name"):
        DeepLabV3Plus(**arguments | {"encoder": 3})
