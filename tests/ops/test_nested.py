import torch

from fdkd_lightning.ops.nested import map_tensors
from fdkd_lightning.types import Output


def test_named_tuples_keep_their_class_and_tensors_their_order() -> None:
    pair = (Output(torch.zeros(2, 1), torch.zeros(2, 3), (torch.zeros(2, 4),)), None)
    seen: list[int] = []
    first, second = map_tensors(pair, lambda x: seen.append(x.shape[1]) or x[:1])
    assert isinstance(first, Output)
    assert second is None
    assert seen == [1, 3, 4]
    assert [len(x) for x in (first.features, first.logits, *first.maps)] == [1, 1, 1]
    assert first.index is None
