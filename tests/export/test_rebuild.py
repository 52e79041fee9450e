import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from torch import nn

from fdkd_lightning.export.rebuild import build_network, required_trust
from fdkd_lightning.models import FeatureModel, Layers, PretrainedModel, TimmModel


def test_a_trusted_packages_functions_may_make_networks_and_nothing_else() -> None:
    made = build_network({"class_path": "torchvision.models.squeezenet1_1"}, ["torchvision"])
    assert isinstance(made, nn.Module)
    with pytest.raises(ValueError, match=r"which returns no torch\.nn\.Module"):
        build_network({"class_path": "torchvision.models.list_models"}, ["torchvision"])


def test_texts_are_never_taken_for_code() -> None:
    spec = {
        "class_path": "fdkd_lightning.PretrainedModel",
        "init_args": {"model": {"class_path": "torch.nn.ReLU"}, "checkpoint": "os.system"},
    }
    found = build_network(spec)
    assert isinstance(found, PretrainedModel)
    assert found.checkpoint == Path("os.system")


def test_arguments_that_do_not_fit_are_named() -> None:
    spec = {"class_path": "fdkd_lightning.NgramNet", "init_args": {"clases": 3}}
    with pytest.raises(ValueError, match=r"NgramNet cannot be built from \['clases'\]"):
        build_network(spec)


def recipe() -> Any:
    """The network of the guide's YAML, with other layers."""
    text = (Path(__file__).parents[2] / "examples/guides/own_model.md").read_text()
    found = re.search(r"```yaml\n(student:.*?)```", text, re.DOTALL)
    assert found is not None
    student: dict[str, Any] = yaml.safe_load(found[1])["student"]
    layers = {"features": "layer4", "maps": ["layer3"]}
    return student | {"init_args": student["init_args"] | {"layers": layers}}


def test_a_function_gets_what_the_guides_recipe_gives_it() -> None:
    network = FeatureModel(
        timm.create_model("resnet10t", num_classes=10), Layers("layer4", maps=["layer3"])
    ).eval()
    assert required_trust(recipe()) == ["timm"]
    found = build_network(recipe(), trust=["timm"]).eval()
    found.load_state_dict(network.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert found(x).logits.shape == (2, 10)
    assert torch.equal(found(x).logits, network(x).logits)
    assert torch.equal(found(x).maps[0], network(x).maps[0])


class Tuned(TimmModel):
    """A user's subclass of a network of ours."""


def test_trust_in_a_package_includes_what_its_classes_look_up() -> None:
    arguments = {"name": "test_efficientnet", "num_classes": 2}
    assert required_trust({"class_path": "fdkd_lightning.TimmModel", "init_args": arguments}) == []
    spec = {"class_path": f"{__name__}.Tuned", "init_args": arguments}
    assert required_trust(spec) == ["tests"]
    assert isinstance(build_network(spec, ["tests"]), Tuned)
    arguments["name"] = "hf-hub:owner/name"
    assert required_trust(spec) == ["tests"]


def test_parts_within_lists_and_dicts_need_trust_too() -> None:
    part = {"class_path": "mine.Part"}
    other = {"class_path": "yours.Part"}
    spec = {"class_path": "torch.nn.Flatten", "init_args": {"x": [{"y": part}, other]}}
    assert required_trust(spec) == ["mine", "yours"]
    assert required_trust(None) == []
