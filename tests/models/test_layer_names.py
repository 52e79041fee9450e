import pytest
import timm
from torch import nn

from fdkd_lightning.models.layer_names import LayerSide, classifier_name, find_layer, find_layers


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.relu = nn.ReLU()


class Net(nn.Module):
    """layer1.0, layer1.1, layer2.0, each with conv and relu; and fc."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(Block(), Block())
        self.layer2 = nn.Sequential(Block())
        self.fc = nn.Linear(3, 2)


def spots(pattern: str, net: nn.Module | None = None) -> list[str]:
    return [spot.name for spot in find_layers(net or Net(), pattern, "maps")]


def error(pattern: str, net: nn.Module | None = None) -> str:
    with pytest.raises(ValueError, match=r"^features=") as caught:
        find_layer(net or Net(), pattern, "features")
    return str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("layer1.1.conv", LayerSide("layer1.1.conv", "output")),
        ("layer1.1.conv:output", LayerSide("layer1.1.conv", "output")),
        ("fc:input", LayerSide("fc", "input")),
        ("", LayerSide("", "output")),
        (":input", LayerSide("", "input")),
        ("layer2.*", LayerSide("layer2.0", "output")),
        ("*2.0.c*:input", LayerSide("layer2.0.conv", "input")),
        ("layer1.[1].relu", LayerSide("layer1.1.relu", "output")),
    ],
)
def test_a_name_means_one_place(pattern: str, expected: LayerSide) -> None:
    assert find_layer(Net(), pattern, "features") == expected


def test_a_star_stays_between_two_dots_and_keeps_the_networks_order() -> None:
    assert spots("layer*") == ["layer1", "layer2"]
    assert spots("layer*.*") == ["layer1.0", "layer1.1", "layer2.0"]
    assert spots("*.0.relu") == ["layer1.0.relu", "layer2.0.relu"]
    assert spots("*") == ["", "layer1", "layer2", "fc"]


def test_the_side_is_that_of_all_layers_meant() -> None:
    assert {spot.side for spot in find_layers(Net(), "layer*:input", "maps")} == {"input"}


def test_a_layer_with_two_names_is_found_by_both_and_meant_once() -> None:
    net = nn.ModuleDict({"encoder": Block()})
    net["alias"] = net["encoder"]
    assert find_layer(net, "alias.conv", "features") == LayerSide("alias.conv", "output")
    assert spots("*.conv", net) == ["encoder.conv"]


def test_several_where_one_is_needed_are_named() -> None:
    assert (
        error("layer*") == "features='layer*' matches 2 layers (layer1, layer2): name one of them"
    )
    many = nn.Sequential(*(nn.ReLU() for _ in range(7)))
    assert "matches 7 layers (0, 1, 2, 3, 4, ...)" in error("[0-9]", many)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("layer3", "'layer2' or 'layer1'"),
        ("model.layer2", "'layer2'"),
        ("backbone.fc", "'fc'"),
        ("module.layer1.0.conv", "'layer1.0.conv'"),
        ("layer1[1]", "'layer1.1'"),
        ("layer1.1.bn", "'layer1.1.conv'"),
        ("fc.input", "'fc:input'"),
    ],
)
def test_a_near_miss_names_what_may_be_meant(wrong: str, meant: str) -> None:
    message = error(wrong)
    assert message.startswith(f"features={wrong!r} is no layer of Net, ")
    assert meant in message.partition("Do you mean ")[2]


def test_an_error_names_what_there_is_where_the_name_goes_wrong() -> None:
    assert ", which has: layer1, layer2, fc" in error("encoder")
    assert ", whose 'layer1' has: 0, 1" in error("layer1.7")
    assert ", whose 'layer1.0.relu' has: nothing inside" in error("layer1.0.relu.conv")
    many = nn.Sequential(*(nn.ReLU() for _ in range(40)))
    assert "which has: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ..." in error("fc", many)


@pytest.mark.parametrize("end", [":in", ":out", ":", ":Input"])
def test_only_two_sides_may_be_named(end: str) -> None:
    message = error(f"fc{end}")
    assert message == (
        f"features='fc{end}' ends in {end!r}: write 'fc:input' for the layer's input, 'fc' for "
        "its output"
    )


@pytest.mark.parametrize(
    ("name", "classifier"),
    [
        ("resnet10t", "fc"),
        ("mobilenetv2_050", "classifier"),
        ("vit_tiny_patch16_224", "head"),
        # Of two it is the one whose token is the class token, not the last linear layer.
        ("deit_tiny_distilled_patch16_224", "head"),
        ("swin_tiny_patch4_window7_224", "head.fc"),
    ],
)
def test_timm_names_its_classifier(name: str, classifier: str) -> None:
    assert classifier_name(timm.create_model(name, num_classes=3)) == classifier


def test_else_it_is_the_last_linear_layer() -> None:
    assert classifier_name(Net()) == "fc"
    assert classifier_name(nn.Sequential(nn.Linear(2, 2), Net(), nn.ReLU())) == "1.fc"
    assert classifier_name(nn.Linear(2, 2)) == ""


@pytest.mark.parametrize(
    "net",
    [timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=1), Block()],
    ids=["timm's left out", "no linear layer"],
)
def test_a_network_without_a_classifier_must_have_its_layer_named(net: nn.Module) -> None:
    # timm's has linear layers, the last of which is inside an attention block.
    with pytest.raises(ValueError, match=r"has no classifier.* the layer .*, Layers\(features"):
        classifier_name(net)
