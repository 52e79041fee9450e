from typing import Any

import pytest
import torch
import transformers
from small_networks import CONFIGS, example, tokens

from fdkd_lightning.models.transformers_inputs import (
    check_vocabulary,
    named_inputs,
    takes_spectrograms,
)


@pytest.fixture(scope="module")
def nets() -> dict[str, Any]:
    return {
        kind: transformers.AutoModel.from_config(config)
        for kind, config in CONFIGS.items()
        if kind != "llama"
    }


@pytest.mark.parametrize(
    ("kind", "name"),
    [("bert", "input_ids"), ("wav2vec2", "input_values"), ("vit", "pixel_values")],
)
def test_inputs_are_named_as_the_network_names_them(
    nets: dict[str, Any], kind: str, name: str
) -> None:
    x = example(kind)
    found = named_inputs(nets[kind], kind, x)
    expected = x if isinstance(x, dict) else {name: x}
    assert found.keys() == expected.keys()
    assert all(found[key] is expected[key] for key in found)


def test_spectrograms_get_time_first_and_may_come_without_their_channel(
    nets: dict[str, Any],
) -> None:
    x = example("ast")
    assert [kind for kind, net in nets.items() if takes_spectrograms(net)] == ["ast"]
    for given in (x, x[:, 0], {"input_values": x}):
        (values,) = named_inputs(nets["ast"], "ast", given).values()
        assert torch.equal(values, x[:, 0].transpose(1, 2))


@pytest.mark.parametrize(
    ("kind", "x", "message"),
    [
        ("bert", ["a dog"], "takes input_ids, but got list: .*Tokenize"),
        ("bert", torch.ones(2, 4), "takes input_ids, but got Tensor: .*Tokenize"),
        ("bert", {"ids": torch.ones(2, 4)}, "got a dict of ids: .*Tokenize"),
        ("bert", tokens(6, total=21), "21 tokens are longer than the 20 .*max_length=20"),
        ("wav2vec2", [torch.ones(400)], "takes input_values, but got list: .*one length"),
        ("wav2vec2", torch.ones(2, 1, 400), r"takes waveforms \[N, S\], but got \[2, 1, 400\]"),
        ("ast", torch.ones(2, 1, 24, 16), r"F, T = \[16, 24\], but got \[2, 1, 24, 16\]"),
        ("vit", torch.ones(2, 16, 16), r"takes images \[N, C, H, W\], but got \[2, 16, 16\]"),
        ("vit", torch.ones(2, 2, 3, 16, 16), "use TimmModel for frames"),
    ],
)
def test_an_input_that_does_not_fit_is_named(
    nets: dict[str, Any], kind: str, x: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        named_inputs(nets[kind], kind, x)


def test_a_token_beyond_the_vocabulary_is_an_error(nets: dict[str, Any]) -> None:
    x = tokens(6)
    check_vocabulary(nets["bert"], "bert", x)
    check_vocabulary(nets["vit"], "vit", {"pixel_values": example("vit")})
    x["input_ids"][0, 2] = 30
    with pytest.raises(ValueError, match=r"number is 30, .* has 30 tokens: give Tokenize"):
        check_vocabulary(nets["bert"], "bert", x)
