from collections import OrderedDict, namedtuple
from typing import Any

import pytest
import torch
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput

from fdkd_lightning.models.layer_outputs import describe, find_logits, find_tensor
from fdkd_lightning.types import Output

ONE, TWO, THREE = (torch.full((2, 3), value) for value in (1.0, 2.0, 3.0))
LOSS = torch.tensor(9.0)
Aux = namedtuple("Aux", ["aux_logits", "logits"])


@pytest.mark.parametrize(
    "value",
    [
        TWO,
        (TWO, ONE),
        [None, (TWO,)],
        {"loss": LOSS, "logits": TWO, "hidden_states": ONE},
        OrderedDict(aux=ONE, out=TWO),
        (LOSS, TWO, ONE),
        SequenceClassifierOutput(loss=LOSS, logits=TWO, hidden_states=(ONE, THREE)),
        Aux(ONE, TWO),
        Output(ONE, TWO),
        {"anything": TWO, "else": ONE},
    ],
    ids=lambda value: type(value).__name__,
)
def test_logits_are_the_tensor_itself_or_named_so_or_the_first(value: Any) -> None:
    assert find_tensor(value, "logits") is TWO


@pytest.mark.parametrize(
    "value",
    [
        TWO,
        (TWO, ONE),
        BaseModelOutput(last_hidden_state=TWO, hidden_states=(ONE, THREE)),
        # Each layer's: the deepest is meant, not the embedding.
        SequenceClassifierOutput(logits=ONE, hidden_states=(ONE, TWO)),
        {"pooler_output": ONE, "last_hidden_state": TWO},
        OrderedDict(out=TWO),
        Output(TWO, ONE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_hidden_states_are_those_of_the_last_layer(value: Any) -> None:
    assert find_tensor(value, "hidden state") is TWO


@pytest.mark.parametrize("value", [None, (), "text", LOSS, {"loss": LOSS}, [3, {}], ONE.long()])
def test_where_no_tensor_is_there_is_none(value: Any) -> None:
    assert find_tensor(value, "logits") is None


def test_one_is_not_taken_for_the_other() -> None:
    assert find_tensor(SequenceClassifierOutput(logits=ONE), "hidden state") is None
    assert find_tensor(BaseModelOutput(last_hidden_state=ONE), "logits") is None


def test_logits_are_found_or_their_lack_is_an_error() -> None:
    assert find_logits({"loss": LOSS, "logits": TWO}) is TWO
    with pytest.raises(TypeError, match=r"returned tuple of NoneType, str, which holds no logits"):
        find_logits((None, "text"))


def test_descriptions_name_keys_and_parts() -> None:
    assert describe([ONE, {"a": 1}]) == "list of torch.float32, dict of a"
    assert describe({}) == "dict of nothing"
    assert describe(()) == "tuple of nothing"
    assert describe(None) == "NoneType"
