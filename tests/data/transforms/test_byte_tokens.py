from typing import Any

import pytest
import torch

from fdkd_lightning.data.transforms.byte_tokens import ByteTokens


def test_bytes_are_one_more_and_zero_pads() -> None:
    tokens = ByteTokens()(["a", "bé", ""])
    assert tokens.dtype == torch.int64
    assert tokens.tolist() == [[98, 0, 0], [99, 0xC3 + 1, 0xA9 + 1], [0, 0, 0]]


def test_long_texts_are_cut() -> None:
    assert ByteTokens(max_length=3)(["abcdef", "xy"]).tolist() == [[98, 99, 100], [121, 122, 0]]


@pytest.mark.parametrize("texts", [[""], ["", ""]])
def test_texts_without_a_byte_are_one_padding_long(texts: list[str]) -> None:
    assert ByteTokens()(texts).tolist() == [[0]] * len(texts)


def test_tokens_are_where_the_module_was_moved() -> None:
    tokens = ByteTokens().to("meta")
    assert tokens(["a"]).device.type == "meta"
    assert not tokens.state_dict()


@pytest.mark.parametrize("texts", ["abc", [b"a"], ["a", 3], [["a"]]])
def test_what_is_no_list_of_strings_is_refused(texts: Any) -> None:
    with pytest.raises(TypeError, match="ByteTokens takes a list of strings"):
        ByteTokens()(texts)


def test_a_length_below_one_is_named() -> None:
    with pytest.raises(ValueError, match="max_length=0 must be at least 1"):
        ByteTokens(max_length=0)
