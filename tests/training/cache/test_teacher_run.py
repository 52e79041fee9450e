from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from recordings import Pairs, Teacher, cpu
from torch import Tensor, nn

from fdkd_lightning.training.cache.settings import TeacherCache
from fdkd_lightning.training.cache.teacher_run import TeacherRun
from fdkd_lightning.types import Output


class Fixed(nn.Module):
    """Returns given values as features and logits."""

    def __init__(self, features: Tensor, logits: Tensor | None = None) -> None:
        super().__init__()
        self.output = Output(features, features if logits is None else logits)

    def forward(self, x: Tensor) -> Output:
        return self.output


def run(
    network: nn.Module, data: Any = None, trainer: Trainer | None = None, **settings: Any
) -> Any:
    return TeacherRun(
        network,
        "audio",
        data or Pairs(),
        trainer or cpu(),
        TeacherCache("c", **settings),
        lambda batch: batch,
    )


def batch(**more: Any) -> dict[str, Any]:
    return {"audio": torch.ones(2, 3), "index": torch.tensor([7, 9]), **more}


def test_rows_hold_outputs_ids_and_presence() -> None:
    rows = run(Teacher(), maps=True)(batch(), 0, 0)
    assert sorted(rows.outputs) == ["features", "logits", "map.0", "map.1"]
    assert rows.ids.tolist() == [7, 9]
    assert rows.present.tolist() == [1, 1]
    assert not rows.optional
    rows = run(Teacher())(batch(present={"audio": torch.tensor([True, False])}), 0, 0)
    assert rows.present.tolist() == [1, 0]
    assert rows.optional
    assert sorted(rows.outputs) == ["features", "logits"]


def test_the_trainer_s_precision_is_the_teacher_s_and_ends_with_the_run() -> None:
    trainer = Trainer(accelerator="cpu", logger=False, precision="bf16-true")
    teaching = run(net := Teacher(), trainer=trainer)
    with teaching.ready():
        rows = teaching(batch(), 0, 0)
    assert rows.computed == {"features": "bfloat16", "logits": "bfloat16"}
    assert rows.outputs["features"].dtype == np.float32
    assert net.body.weight.dtype == torch.float32
    assert teaching.network is net


@pytest.mark.parametrize(
    ("value", "dtype", "words"),
    [
        (7e4, "float16", r"features of sample 9 reach 7e.04, beyond float16: store dtype=float32"),
        (float("nan"), "float32", "features of sample 9 are NaN or infinite"),
        (float("-inf"), "float32", "features of sample 9 are NaN or infinite"),
    ],
)
def test_what_would_be_lost_is_refused(value: float, dtype: str, words: str) -> None:
    features = torch.tensor([[1.0], [value]])
    with pytest.raises(ValueError, match=words):
        run(Fixed(features), dtype=dtype)(batch(), 0, 0)
    # Without the modality it has no meaning.
    absent = batch(present={"audio": torch.tensor([True, False])})
    run(Fixed(features), dtype=dtype)(absent, 0, 0)


def test_logits_may_mask_a_class_but_not_overflow() -> None:
    masked = torch.tensor([[0.0, -torch.inf], [1.0, 2.0]])
    rows = run(Fixed(torch.zeros(2, 1), masked), dtype="float16")(batch(), 0, 0)
    assert np.isneginf(rows.outputs["logits"]).tolist() == [[False, True], [False, False]]
    with pytest.raises(ValueError, match=r"logits of sample 7 reach 1e.05, beyond float16"):
        run(Fixed(torch.zeros(2, 1), masked - 1e5), dtype="float16")(batch(), 0, 0)


def test_other_outputs_and_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="of float64, which is not stored"):
        run(Fixed(torch.zeros(2, 1, dtype=torch.float64)))(batch(), 0, 0)
    with pytest.raises(ValueError, match=r"shape \[3, 1\] for 2 samples"):
        run(Fixed(torch.zeros(3, 1)))(batch(), 0, 0)
    teaching = run(Teacher())
    teaching.read = lambda batch: {"audio": batch["audio"]}
    with pytest.raises(KeyError, match="no 'index', by which outputs are stored"):
        teaching(batch(), 0, 0)
    with pytest.raises(KeyError, match="no modality 'audio', only: visual"):
        run(Teacher())({"visual": 0, "index": torch.tensor([1])}, 0, 0)


def test_transforms_train_for_training_views_alone_and_equal_seeds_agree() -> None:
    data = Pairs(transforms={"audio": nn.Dropout(0.5)})
    teaching = run(Teacher(), data)
    before = torch.get_rng_state()
    with teaching.ready():
        evaluated, one, same, other = (
            teaching.input(batch(audio=torch.ones(2, 30)), view, seed)["audio"]
            for view, seed in ((0, 0), (1, 5), (1, 5), (1, 6))
        )
    assert torch.equal(evaluated, torch.ones(2, 30))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
