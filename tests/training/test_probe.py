import os
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.losses import OneClassTask
from fdkd_lightning.training.probe import (
    as_output,
    check_class_names,
    check_output,
    check_target,
    example_batch,
    modality_input,
    output_from_shapes,
    output_shapes,
    probe,
)
from fdkd_lightning.types import Batch, Output


def draw() -> tuple[float, float, float]:
    """One number of each global generator."""
    return float(torch.rand(())), float(np.random.rand()), random.random()  # noqa: NPY002


def seed() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)


class Noise(Dataset[Batch]):
    """Sample i begins with i; what follows is drawn from the global generators."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.processes: set[int] = set()

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> Batch:
        self.processes.add(os.getpid())
        return {"audio": torch.tensor([float(i), *draw()]), "label": 0, "index": i}


class Stream(IterableDataset[Batch]):
    def __iter__(self) -> Iterator[Batch]:
        return (Noise(9)[i] for i in range(9))


class Batches:
    """Not a DataLoader: batch i is three times i."""

    def __iter__(self) -> Iterator[Batch]:
        return ({"audio": torch.full((3, 1), float(i))} for i in range(2))


class NoiseData(MultimodalDataModule):
    class_names = ("all",)
    available_modalities = ("audio",)

    def __init__(self, sizes: dict[str, int], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.sizes = sizes

    def make_dataset(self, split: str) -> Noise:
        return Noise(self.sizes[split])


class Double(nn.Module):
    """A transform that draws too."""

    def forward(self, x: Tensor) -> Tensor:
        draw()
        return 2 * x


class Probing(LightningModule):
    """Takes an example batch in ``setup``, where the modules of the package do, or does not."""

    def __init__(self, takes: bool = True) -> None:
        super().__init__()
        self.takes = takes
        self.weight = nn.Parameter(torch.zeros(()))
        self.batch: Batch = {}
        self.drawn: tuple[float, ...] = ()
        self.steps: list[Tensor] = []

    def setup(self, stage: str) -> None:
        seed()
        if self.takes:
            self.batch = example_batch(self.trainer)

    def on_train_start(self) -> None:
        self.drawn = draw()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.steps.append(batch["audio"])
        return self.weight * batch["audio"].mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None: ...

    def test_step(self, batch: Batch, batch_idx: int) -> None: ...

    def predict_step(self, batch: Batch, batch_idx: int) -> None: ...

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(tmp_path: Path) -> Trainer:
    return Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )


class Net(nn.Module):
    """Dropout, batch norm and draws of its own: whatever a careless probe would disturb."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Output:
        draw()
        features = self.dropout(self.norm(x))
        return Output(features, self.fc(features))


@pytest.mark.parametrize(
    ("stage", "split"),
    [("fit", "train"), ("validate", "val"), ("test", "test"), ("predict", "test")],
)
def test_the_example_is_two_transformed_samples_of_the_stages_own_data(
    tmp_path: Path, stage: str, split: str
) -> None:
    sizes = {"train": 1, "val": 1, "test": 1} | {split: 9}
    module, data = Probing(), NoiseData(sizes, transforms={"audio": Double()})
    getattr(trainer(tmp_path), stage)(module, datamodule=data)
    assert module.batch["index"].tolist() == [0, 1]
    assert module.batch["audio"].shape == (2, 4)
    assert module.batch["audio"][:, 0].tolist() == [0.0, 2.0]
    assert {x.device.type for x in module.batch.values()} == {"cpu"}


def test_a_single_sample_is_taken_twice(tmp_path: Path) -> None:
    module = Probing()
    trainer(tmp_path).validate(module, DataLoader(Noise(1)))
    assert module.batch["index"].tolist() == [0, 0]


def test_a_stream_gives_its_first_batch(tmp_path: Path) -> None:
    module = Probing()
    trainer(tmp_path).validate(module, DataLoader(Stream(), batch_size=3))
    assert module.batch["index"].tolist() == [0, 1, 2]


def test_a_loader_of_any_other_kind_gives_its_first_batch(tmp_path: Path) -> None:
    module = Probing()
    trainer(tmp_path).fit(module, Batches())
    assert module.batch["audio"].tolist() == [[0.0]] * 3


@pytest.mark.parametrize("source", [Noise(9), Stream()], ids=["samples", "stream"])
def test_training_draws_and_sees_what_it_would_without_the_example(
    tmp_path: Path, source: Dataset[Batch]
) -> None:
    with_it, without = Probing(), Probing(takes=False)
    for module in (with_it, without):
        trainer(tmp_path).fit(module, DataLoader(source, batch_size=3))
    seen, expected = torch.cat(with_it.steps), torch.cat(without.steps)
    assert torch.equal(seen[:, 0], expected[:, 0])
    if not isinstance(source, Stream):
        # What a stream draws for the batch that was taken, it does not draw again.
        assert torch.equal(seen, expected)
        assert with_it.drawn == without.drawn


class Once(IterableDataset[Batch]):
    """A stream that can be read only once."""

    def __init__(self) -> None:
        self.samples = (Noise(9)[i] for i in range(9))

    def __iter__(self) -> Iterator[Batch]:
        return self.samples


@pytest.mark.parametrize("examples", [0, 1, 2])
def test_training_sees_all_of_a_stream_that_can_be_read_once(tmp_path: Path, examples: int) -> None:
    class Repeating(Probing):
        def setup(self, stage: str) -> None:
            batches = [example_batch(self.trainer)["index"].tolist() for _ in range(examples)]
            assert batches == [[0, 1, 2]] * examples

    module = Repeating()
    trainer(tmp_path).fit(module, DataLoader(Once(), batch_size=3))
    assert torch.cat(module.steps)[:, 0].tolist() == [float(i) for i in range(9)]


def test_the_example_starts_no_worker(tmp_path: Path) -> None:
    dataset, module = Noise(9), Probing()
    trainer(tmp_path).validate(module, DataLoader(dataset, batch_size=3, num_workers=1))
    # The validation ran in the worker; the example was taken here.
    assert dataset.processes == {os.getpid()}
    assert module.batch["index"].tolist() == [0, 1]


def test_a_probe_gives_the_output_in_eval_mode_without_gradients() -> None:
    net, x = Net(), torch.randn(2, 4, requires_grad=True)
    output = probe(net, x)
    assert not output.features.requires_grad
    assert not output.logits.requires_grad
    torch.testing.assert_close(output, net.eval()(x))


class Nested(nn.Module):
    """Takes values and whole numbers, and keeps what it got."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Any) -> Output:
        self.got = x
        values = x["values"] if isinstance(x, dict) else torch.stack(x)
        return Output(values, self.fc(values))


def test_a_probe_casts_the_values_within_a_dict_or_list_and_no_whole_numbers() -> None:
    net = Nested().to(torch.bfloat16)
    x = {"values": torch.randn(2, 4), "tokens": torch.ones(2, 4, dtype=torch.int64)}
    assert probe(net, x).logits.dtype == torch.bfloat16
    assert net.got["values"].dtype == torch.bfloat16
    assert net.got["tokens"].dtype == torch.int64
    assert x["values"].dtype == torch.float32
    assert probe(net, [torch.randn(4), torch.randn(4)]).logits.shape == (2, 3)


def test_a_probe_leaves_texts_to_the_model() -> None:
    class Lengths(Net):
        def forward(self, x: list[str]) -> Output:
            return super().forward(torch.tensor([[float(len(text))] * 4 for text in x]))

    assert probe(Lengths(), ["a", "dog"]).logits.shape == (2, 3)


class Late(nn.Module):
    """Makes its layer when it is first used."""

    def __init__(self) -> None:
        super().__init__()
        self.register_module("fc", None)

    def forward(self, x: Tensor) -> Output:
        if self.fc is None:
            self.fc = nn.Sequential(nn.Linear(4, 3)).train(self.training)
        return Output(x, self.fc(x))


@pytest.mark.parametrize("training", [True, False])
def test_what_a_probe_has_made_takes_the_mode_of_the_whole(training: bool) -> None:
    net = Late().train(training)
    probe(net, torch.randn(2, 4))
    assert {part.training for part in net.modules()} == {training}
    assert len(list(net.modules())) == 3


def test_a_probe_moves_no_generator() -> None:
    net, x = Net(), torch.randn(2, 4)
    seed()
    expected = draw()
    seed()
    probe(net, x)
    assert draw() == expected


def test_a_probe_leaves_each_parts_mode() -> None:
    net = Net().train()
    net.norm.eval()
    probe(net, torch.randn(2, 4))
    modes = {name: part.training for name, part in net.named_modules()}
    assert modes == {"": True, "norm": False, "dropout": True, "fc": True}


def test_a_probe_leaves_buffers_and_gradients() -> None:
    net = Net().train()
    net.fc.weight.grad = torch.ones(3, 4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    probe(net, torch.randn(2, 4) + 5)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    gradients = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    assert gradients.keys() == {"fc.weight"}
    assert torch.equal(gradients["fc.weight"], torch.ones(3, 4))


def test_a_probe_of_what_returns_no_output_is_an_error() -> None:
    with pytest.raises(TypeError, match="returned Tensor instead of"):
        probe(nn.Linear(4, 3), torch.ones(1, 4))


def test_a_missing_modality_is_named_beside_those_there_are() -> None:
    batch = {"visual": 1, "audio": 2, "label": 3, "index": 4}
    assert modality_input(batch, "audio") == 2
    with pytest.raises(KeyError, match=r"no modality 'text', only: audio, visual\."):
        modality_input(batch, "text")


@pytest.mark.parametrize(
    ("value", "name"),
    [(torch.ones(2), "Tensor"), ((torch.ones(2), torch.ones(2)), "tuple"), (None, "NoneType")],
)
def test_what_is_no_output_is_named(value: Any, name: str) -> None:
    with pytest.raises(TypeError, match=rf"returned {name} instead of .*Output\(features"):
        as_output(value)


def test_an_output_stays_itself() -> None:
    output = Output(torch.ones(2), torch.ones(2))
    assert as_output(output) is output


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["features", "logits"])
def test_values_that_are_not_finite_are_counted_and_named(name: str, value: float) -> None:
    output = Output(torch.ones(2, 4), torch.ones(2, 2))
    check_output("student", output)
    getattr(output, name)[0, :2] = value
    size = getattr(output, name).numel()
    with pytest.raises(ValueError, match=f"2 of {size} values of the student's {name} are NaN"):
        check_output("student", output)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ([0, 1], TypeError, "'label' is list: give an int64 tensor"),
        (torch.tensor([0.0, 1.0]), TypeError, "'label' is torch.float32"),
        (torch.tensor([0, 1], dtype=torch.int32), TypeError, "'label' is torch.int32"),
        (torch.tensor([0]), ValueError, r"shape \[1\].* logits of shape \[2, 3\]"),
        (torch.tensor([[0], [1]]), ValueError, r"shape \[2, 1\].* logits of shape \[2, 3\]"),
        (torch.tensor([0, 3]), ValueError, r"from 0 to 3, .* num_classes=3 \(0\.\.2;"),
        (torch.tensor([-1, 1]), ValueError, r"from -1 to 1, "),
        (torch.tensor([-100, 7]), ValueError, r"from 7 to 7, "),
    ],
)
def test_a_wrong_target_is_named(target: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_target(OneClassTask(), target, torch.zeros(2, 3))


def test_a_target_of_maps_has_their_size() -> None:
    logits = torch.zeros(2, 3, 4, 5)
    with pytest.raises(ValueError, match=r"shape \[2, 5, 4\], .* \[2, 3, 4, 5\]"):
        check_target(OneClassTask(), torch.zeros(2, 5, 4, dtype=torch.int64), logits)
    with pytest.raises(ValueError, match=r"shape \[2\], "):
        check_target(OneClassTask(), torch.zeros(2, dtype=torch.int64), logits)


FITTING: list[Callable[[], tuple[Tensor, Tensor]]] = [
    lambda: (torch.tensor([0, 2]), torch.zeros(2, 3)),
    lambda: (torch.tensor([-100, 2]), torch.zeros(2, 3)),
    lambda: (torch.tensor([-100, -100]), torch.zeros(2, 3)),
    lambda: (torch.full((2, 4, 5), 2), torch.zeros(2, 3, 4, 5)),
]


@pytest.mark.parametrize("case", FITTING)
def test_a_target_that_fits_passes_and_one_class_less_does_not(
    case: Callable[[], tuple[Tensor, Tensor]],
) -> None:
    target, logits = case()
    check_target(OneClassTask(), target, logits)
    if (target == 2).any():
        with pytest.raises(ValueError, match="num_classes=2"):
            check_target(OneClassTask(), target, logits[:, :2])


def test_shapes_are_kept_in_plain_numbers_and_give_an_output_of_them() -> None:
    output = Output(torch.ones(2, 8), torch.ones(2, 3), (torch.ones(2, 4, 5, 6), torch.ones(2, 7)))
    shapes = output_shapes(output)
    assert shapes == {"features": [2, 8], "logits": [2, 3], "maps": [[2, 4, 5, 6], [2, 7]]}
    again = output_from_shapes(shapes)
    assert again is not None
    assert output_shapes(again) == shapes


def test_a_batch_that_is_no_dict_is_refused_in_a_sentence() -> None:
    for batch in ((torch.zeros(2), torch.zeros(2)), [torch.zeros(2)], torch.zeros(2)):
        kind = type(batch).__name__
        with pytest.raises(TypeError, match=f"the batch is a {kind}.*collate_fn.*Callback"):
            modality_input(batch, "audio")  # type: ignore[arg-type]


class Named:
    """A trainer with a data module that names four classes."""

    class datamodule:  # noqa: N801
        class_names = ("a", "b", "c", "d")


def test_more_classes_than_the_datas_bring_a_warning_and_fewer_an_error() -> None:
    names = r"but the data names 4 classes \(a, b, c, d\): "
    with pytest.warns(UserWarning, match=f"num_classes=9, {names}no sample has the last 5"):
        check_class_names(Named(), 9)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"num_classes=3, {names}set num_classes=4"):
        check_class_names(Named(), 3)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_class_names(Named(), 4)  # type: ignore[arg-type]
        check_class_names(object(), 9)  # type: ignore[arg-type]
