from typing import Any

import pytest
import torch

from fdkd_lightning.data.transforms.texts import check_texts


@pytest.mark.parametrize("texts", [["a", ""], ("a",), []])
def test_lists_of_strings_pass(texts: Any) -> None:
    check_texts("Tokens", texts)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        ("a dog", "str"),
        (torch.ones(2), "Tensor"),
        ([1, 2], "list with int"),
        (["a", 3], "list with int"),
        (["a", None], "list with NoneType"),
        (([b"a"],), "tuple with list"),
    ],
)
def test_what_is_no_list_of_texts_is_named(texts: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=f"Tokens takes a list .* got {kind}: .*TextRecipe"):
        check_texts("Tokens", texts)
