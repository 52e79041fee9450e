import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from fits import equal, trainer, values
from recordings import Pairs, Teacher, build
from small import Host
from torch import Tensor, nn

from fdkd_lightning.losses import CompositeLoss, FeatureLoss, KDLoss
from fdkd_lightning.losses.controls import ShuffledPairs
from fdkd_lightning.training.cache.cached_teacher import CachedTeacher
from fdkd_lightning.training.cache.fingerprint import StaleCacheError
from fdkd_lightning.training.cache.settings import TeacherCache
from fdkd_lightning.training.callback.callback import DistillationCallback
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.types import Output


def criterion() -> CompositeLoss:
    """It compares features of shuffled pairs, too."""
    return CompositeLoss({"kd": KDLoss(), "shuffled": ShuffledPairs(FeatureLoss())})


def fit(
    folder: Path, data: Any = None, teachers: Any = None, epochs: int = 2, **settings: Any
) -> DistillationModule:
    module = DistillationModule(
        Teacher(seed=3),
        {"audio": Teacher()} if teachers is None else teachers,
        criterion(),
        "visual",
        **settings,
    )
    trainer(folder, epochs=epochs).fit(module, datamodule=data or Pairs())
    return module


def cached(folder: Path) -> dict[str, CachedTeacher]:
    return {"audio": CachedTeacher(folder, folder.name.rpartition("-")[2])}


def test_a_cached_run_equals_the_live_one_bit_by_bit(tmp_path: Path) -> None:
    # 22 samples: the last batch is of another size than those of the cache.
    live = values(fit(tmp_path))
    first = fit(tmp_path, teacher_cache=tmp_path / "c")
    again = fit(tmp_path, teacher_cache=tmp_path / "c")
    [folder] = (tmp_path / "c").iterdir()
    apart = fit(tmp_path, Pairs(modalities=["visual"]), cached(folder))
    for module in (first, again, apart):
        assert equal(values(module), live)


def test_the_teacher_is_not_run_and_its_modality_not_read(tmp_path: Path) -> None:
    build(tmp_path / "c")
    data, net = Pairs(), Teacher()
    data.setup("fit")
    fit(tmp_path, data, {"audio": net}, teacher_cache=tmp_path / "c")
    assert net.calls == 0
    reads = [x for dataset in data.datasets.values() for x in dataset.read]  # type: ignore[attr-defined]  # of Recordings
    assert set(reads) == {"visual"}
    # Another module reads it again.
    fit(tmp_path, data, {"audio": net}, epochs=1)
    assert net.calls > 0


def test_half_precision_changes_the_student_little(tmp_path: Path) -> None:
    live = values(fit(tmp_path))
    half = values(fit(tmp_path, teacher_cache=TeacherCache(tmp_path / "c", dtype="float16")))
    assert not equal(half, live)
    torch.testing.assert_close(half, live, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("modalities", [None, ["visual"]])
def test_samples_without_the_modality_are_left_out_as_live(tmp_path: Path, modalities: Any) -> None:
    live = values(fit(tmp_path, Pairs(lacking=3)))
    folder = build(tmp_path / "c", Pairs(lacking=3))
    data = Pairs(lacking=3, modalities=modalities)
    assert equal(values(fit(tmp_path, data, cached(folder))), live)
    assert not equal(values(fit(tmp_path, Pairs())), live)


def test_as_many_views_as_epochs_equal_the_live_run(tmp_path: Path) -> None:
    live = values(fit(tmp_path, Pairs(drawn=True)))
    kept = {"teacher_cache": TeacherCache(tmp_path / "c", views=2)}
    assert equal(values(fit(tmp_path, Pairs(drawn=True), **kept)), live)
    one_view = {"teacher_cache": TeacherCache(tmp_path / "c", views=1)}
    assert not equal(values(fit(tmp_path, Pairs(drawn=True), **one_view)), live)


def test_two_teachers_have_a_cache_each_and_may_be_mixed_with_live_ones(tmp_path: Path) -> None:
    teachers = {"audio": Teacher(), "visual": Teacher(seed=5)}
    live = values(fit(tmp_path, teachers=copy.deepcopy(teachers)))
    both = fit(tmp_path, teachers=copy.deepcopy(teachers), teacher_cache=tmp_path / "c")
    assert equal(values(both), live)
    assert len([*(tmp_path / "c").iterdir()]) == 2
    [folder] = (tmp_path / "c").glob("audio-*")
    mixed = {**teachers, **cached(folder)}
    assert equal(values(fit(tmp_path, teachers=mixed)), live)


class Beside(Host):
    """The host's student is a layer that the callback reads."""

    def __init__(self) -> None:
        super().__init__(Teacher(seed=3))


def test_the_callback_reads_a_cache_as_the_module_does(tmp_path: Path) -> None:
    folder = build(tmp_path / "c")

    def run(teachers: Any, data: Any) -> dict[str, Tensor]:
        from fdkd_lightning.models.layers import Layers

        module = Beside()
        callback = DistillationCallback(
            teachers, criterion(), Layers("net.head:input", "net.head"), student_input="visual"
        )
        trainer(tmp_path, callback, epochs=2).fit(module, datamodule=data)
        return values(module)

    live = run({"audio": Teacher()}, Pairs())
    assert equal(run(cached(folder), Pairs(modalities=["visual"])), live)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"gain": 2.0}, r"data.arguments.gain: 1.0 in the cache, 2.0 here"),
        ({"transforms": {"audio": nn.Dropout(0.5)}}, "data.transform"),
        ({"size": 23}, "no output for sample 122"),
    ],
)
def test_a_stale_cache_says_what_differs(tmp_path: Path, arguments: Any, words: str) -> None:
    folder = build(tmp_path / "c")
    with pytest.raises(ValueError, match=words):
        fit(tmp_path, Pairs(**arguments), cached(folder))
    with pytest.raises(StaleCacheError, match=r"modality 'audio', and teachers names it 'sound'"):
        fit(tmp_path, Pairs(), {"sound": cached(folder)["audio"]})


class Named(Pairs):
    """Samples with names."""

    def __init__(self, names: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._names = names

    def make_dataset(self, split: str) -> Any:
        dataset: Any = super().make_dataset(split)
        dataset.ids = [f"{self._names}{i}" for i in range(len(dataset))]
        return dataset


def test_samples_that_changed_their_names_are_foreign(tmp_path: Path) -> None:
    folder = build(tmp_path / "c", Named("owl"))
    fit(tmp_path, Named("owl", modalities=["visual"]), cached(folder), epochs=1)
    with pytest.raises(StaleCacheError, match=r"name of sample 100 differs \(22 samples in all\)"):
        fit(tmp_path, Named("cat"), cached(folder))


class Dense(Teacher):
    """Its outputs are maps."""

    def forward(self, x: Tensor) -> Output:
        output = super().forward(x)
        features, logits = (y[:, :, None, None].expand(-1, -1, 2, 2) for y in output[:2])
        return Output(features, logits)


def test_maps_of_other_crops_than_the_student_s_are_refused(tmp_path: Path) -> None:
    folder = build(tmp_path / "c", Pairs(drawn=True), Dense(), views=1)
    with pytest.raises(ValueError, match=r"views=1 views.* max_epochs=2 epochs"):
        fit(tmp_path, Pairs(drawn=True), cached(folder))


def test_without_a_data_module_nothing_is_built(tmp_path: Path) -> None:
    data = Pairs()
    data.setup("fit")
    module = DistillationModule(
        Teacher(), {"audio": Teacher()}, KDLoss(), "visual", teacher_cache=tmp_path / "c"
    )
    with pytest.raises(ValueError, match=r"teacher_cache=.* is built from a data module"):
        trainer(tmp_path).fit(module, data.train_dataloader(), data.val_dataloader())
