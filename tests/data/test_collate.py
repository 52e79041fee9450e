import torch

from fdkd_lightning.data.collate import collate


def test_equal_shapes_are_stacked_and_others_stay_a_list() -> None:
    batch = collate([{"a": torch.ones(2), "b": torch.ones(n), "c": "x"} for n in (2, 3)])
    assert torch.equal(batch["a"], torch.ones(2, 2))
    assert [len(x) for x in batch["b"]] == [2, 3]
    assert batch["c"] == ["x", "x"]
