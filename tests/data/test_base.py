from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import Dataset

from fdkd_lightning.data.base import MultimodalDataModule

MakeTrainer = Callable[..., Trainer]
Orders = Callable[..., list[list[int]]]


class Counts(Dataset[dict[str, Any]]):
    """Sample i is i in each modality."""

    def __init__(self, size: int, modalities: tuple[str, ...]) -> None:
        self.size = size
        self.modalities = modalities

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {m: torch.full((3,), float(i)) for m in self.modalities} | {"label": 0, "index": i}


class CountsData(MultimodalDataModule):
    class_names = ("all",)
    available_modalities = ("audio", "visual")
    size = 13

    def default_transforms(self) -> dict[str, nn.Module]:
        return {"audio": nn.Dropout(0.5), "visual": Observed()}

    def make_dataset(self, split: str) -> Counts:
        return Counts(self.size, self.modalities)


class Observed(nn.Module):
    """A transform with a matrix product, which autocast would lower; it keeps what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.eye(3))
        self.seen: list[tuple[bool, torch.dtype, torch.dtype]] = []

    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.matrix
        self.seen.append((self.training, x.dtype, y.dtype))
        return y


class Reader(LightningModule):
    """Keeps the order of the training samples, epoch by epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.orders: list[list[int]] = []
        self.dtypes: set[torch.dtype] = set()

    def on_train_epoch_start(self) -> None:
        self.orders.append([])

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        self.orders[-1] += batch["index"].tolist()
        self.dtypes.add(batch["visual"].dtype)
        return self.weight * batch["visual"].mean()

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        torch.rand(3)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def orders(make_trainer: MakeTrainer) -> Callable[..., list[list[int]]]:
    def run(seed: int = 0, ckpt: Any = None, epochs: int = 3) -> list[list[int]]:
        reader = Reader()
        trainer = make_trainer(max_epochs=epochs, enable_checkpointing=False)
        trainer.fit(reader, CountsData(batch_size=4, seed=seed), ckpt_path=ckpt)
        return reader.orders

    return run


def batches(data: MultimodalDataModule) -> Iterator[Any]:
    data.setup("fit")
    return iter(data.train_dataloader())


def test_a_stage_loads_what_it_needs_once() -> None:
    for stage, splits in {"fit": {"train", "val"}, "validate": {"val"}, "test": {"test"}}.items():
        data = CountsData()
        data.setup(stage)
        assert set(data.datasets) == splits
        loaded = dict(data.datasets)
        data.setup(stage)
        assert all(data.datasets[split] is dataset for split, dataset in loaded.items())


def test_predict_reads_the_test_split_in_order() -> None:
    data = CountsData(batch_size=5)
    data.setup("predict")
    assert torch.cat([b["index"] for b in data.predict_dataloader()]).tolist() == list(range(13))


def test_a_modality_that_is_not_selected_is_absent() -> None:
    batch = next(batches(CountsData(modalities=["visual"])))
    assert set(batch) == {"visual", "label", "index"}


def test_two_epochs_differ_and_repeat(orders: Orders) -> None:
    torch.manual_seed(0)
    first = orders()
    torch.manual_seed(1)
    assert orders() == first
    # 13 samples in fours: the last batch would be one sample.
    assert all(len(set(order)) == 12 for order in first)
    assert first[0] != first[1] != first[2]
    # No epoch of another seed repeats one of this.
    assert not {tuple(order) for order in first} & {tuple(order) for order in orders(seed=1)}


def test_a_resumed_run_goes_on_in_the_same_order(
    tmp_path: Path, make_trainer: MakeTrainer, orders: Orders
) -> None:
    whole = orders()
    trainer = make_trainer(max_epochs=2, enable_checkpointing=False)
    trainer.fit(Reader(), CountsData(batch_size=4))
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    assert orders(ckpt=tmp_path / "two.ckpt") == whole[2:]


@pytest.mark.parametrize(
    ("size", "batch_size", "sizes"),
    [(13, 4, [4, 4, 4]), (14, 4, [4, 4, 4, 2]), (1, 4, [1]), (3, 1, [1, 1, 1]), (12, 4, [4, 4, 4])],
)
def test_only_a_last_batch_of_one_is_dropped(size: int, batch_size: int, sizes: list[int]) -> None:
    data = CountsData(batch_size=batch_size)
    data.size = size
    assert [len(batch["index"]) for batch in batches(data)] == sizes
    data.setup("test")
    assert sum(len(batch["index"]) for batch in data.test_dataloader()) == size


def test_two_ranks_share_the_samples() -> None:
    shares = []
    for rank in range(2):
        data = CountsData(batch_size=4)
        data.size = 12
        epochs = SimpleNamespace(current=SimpleNamespace(processed=0))
        data.trainer = SimpleNamespace(  # type: ignore[assignment]  # what is read of it
            world_size=2, global_rank=rank, fit_loop=SimpleNamespace(epoch_progress=epochs)
        )
        shares.append({int(i) for batch in batches(data) for i in batch["index"]})
    assert shares[0] | shares[1] == set(range(12))
    assert not shares[0] & shares[1]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_transforms_are_float32_and_in_train_mode_only_in_training(
    make_trainer: MakeTrainer, precision: Any
) -> None:
    data, reader = CountsData(batch_size=4), Reader()
    trainer = make_trainer(max_epochs=1, precision=precision, enable_checkpointing=False)
    trainer.fit(reader, data)
    seen = data.transforms["visual"].seen
    assert {dtypes for _, *pair in seen for dtypes in pair} == {torch.float32}
    modes = [training for training, *_ in seen]
    # Two batches of the sanity check, three of training, four of validation.
    assert modes == [False] * 2 + [True] * 3 + [False] * 4
    expected = torch.bfloat16 if precision == "bf16-true" else torch.float32
    assert reader.dtypes == {expected}


def test_what_is_not_floating_point_goes_to_the_transform_as_it_is() -> None:
    tokens = torch.arange(6).reshape(2, 3)
    data = CountsData(modalities=["visual"], transforms={"visual": nn.Embedding(6, 4)})
    batch = data.on_after_batch_transfer({"visual": tokens, "index": torch.arange(2)}, 0)
    assert batch["visual"].shape == (2, 3, 4)


def test_given_transforms_replace_the_defaults_of_their_modalities() -> None:
    assert set(CountsData().transforms) == {"audio", "visual"}
    assert set(CountsData(modalities=["audio"]).transforms) == {"audio"}
    data = CountsData(transforms={"visual": nn.Identity()})
    assert set(data.transforms) == {"audio", "visual"}
    assert isinstance(data.transforms["visual"], nn.Identity)
    # As a configuration has them that another command narrows to one modality.
    data = CountsData(modalities=["audio"], transforms={"visual": nn.Identity()})
    assert set(data.transforms) == {"audio"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"modalities": ["text"]}, r"modalities=\['text'\] must .* of \['audio', 'visual'\]"),
        ({"modalities": "audio"}, r"modalities='audio' must be a list"),
        ({"modalities": []}, r"modalities=\[\] must be a list of one or more"),
        ({"batch_size": 0}, r"batch_size=0 must be at least 1"),
        ({"num_workers": -1}, r"num_workers=-1 must be at least 0"),
        ({"seed": -1}, r"seed=-1 must be at least 0"),
        (
            {"transforms": {"vision": nn.Identity()}},
            r"transforms names 'vision', but the data has \('audio', 'visual'\): correct the name",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CountsData(**arguments)


@pytest.mark.parametrize("name", ["batch_size", "eval_batch_size", "num_workers", "seed"])
def test_counts_are_whole_numbers(name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name}=2.5 must be a whole number"):
        CountsData(**{name: 2.5})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_transforms_run_where_the_batch_is() -> None:
    data = CountsData(modalities=["visual"])
    batch = {"visual": torch.ones(2, 3, device="cuda"), "index": torch.arange(2, device="cuda")}
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert data.on_after_batch_transfer(batch, 0)["visual"].dtype == torch.float32
    assert data.transforms["visual"].matrix.is_cuda


def test_clips_of_different_lengths_stay_a_list_and_in_the_trainer_s_precision(
    make_trainer: MakeTrainer,
) -> None:
    class Clips(Counts):
        def __getitem__(self, i: int) -> dict[str, Any]:
            return {"audio": torch.ones(3 + i % 2), "label": 0, "index": i}

    class ClipsData(CountsData):
        available_modalities = ("audio",)

        def default_transforms(self) -> dict[str, nn.Module]:
            return {"audio": Lengths()}

        def make_dataset(self, split: str) -> Counts:
            return Clips(4, self.modalities)

    class Lengths(nn.Module):
        def forward(self, clips: list[Tensor]) -> Tensor:
            assert {clip.dtype for clip in clips} == {torch.float32}
            return torch.stack([clip.sum() for clip in clips])

    class Reading(LightningModule):
        def training_step(self, batch: dict[str, Any], _: int) -> None:
            seen.append(batch["audio"])

        def configure_optimizers(self) -> None:
            pass

    for precision, dtype in (("32-true", torch.float32), ("bf16-true", torch.bfloat16)):
        seen: list[Tensor] = []
        trainer = make_trainer(max_epochs=1, precision=precision, enable_checkpointing=False)
        trainer.fit(Reading(), ClipsData(batch_size=4))
        assert seen[0].dtype == dtype
        assert sorted(seen[0].tolist()) == [3.0, 3.0, 4.0, 4.0]
