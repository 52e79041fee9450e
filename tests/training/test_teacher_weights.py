import copy
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.losses import DistillationLoss, KDLoss
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.distiller import Distiller
from fdkd_lightning.training.pairs import Pair
from fdkd_lightning.training.teacher_weights import (
    ConfidenceWeights,
    FixedWeights,
    LearnedWeights,
    TeacherWeights,
)
from fdkd_lightning.types import Output

TARGET = torch.tensor([0, 1, -100, 2])
BOTH = ("audio", "text")


def output(seed: int) -> Output:
    generator = torch.Generator().manual_seed(seed)
    features, logits = (torch.randn(4, d, generator=generator).double() for d in (8, 3))
    return Output(features, logits)


def pair(seed: int, target: Tensor = TARGET) -> Pair:
    return Pair(output(0), output(seed), target)


def kd(seed: int) -> float:
    """What the teacher of this seed teaches, by itself."""
    return KDLoss()(*pair(seed))["kd"].item()


def distilled(weights: TeacherWeights | None, *pairs: Pair | None) -> dict[str, float]:
    names = ("audio", "text", "depth")[: len(pairs)]
    found = Distiller(KDLoss(), names, weights=weights)(pairs)
    return {name: term.item() for name, term in found.items()}


def cross_entropy(seed: int) -> float:
    """By hand: log-sum-exp less the label's score, the mean over the three that have one."""
    rows = zip(output(seed).logits.tolist(), TARGET.tolist(), strict=True)
    losses = [math.log(sum(map(math.exp, z))) - z[y] for z, y in rows if y != -100]
    return sum(losses) / 3


def confidence(*seeds: int) -> list[float]:
    powers = [math.exp(cross_entropy(seed)) for seed in seeds]
    return [(1 - power / sum(powers)) / (len(seeds) - 1) for power in powers]


def test_fixed_weights_weigh_the_terms_by_their_ratio() -> None:
    found = distilled(FixedWeights({"text": 1, "audio": 3}), pair(1), pair(2))
    assert found == {"kd": pytest.approx((3 * kd(1) + kd(2)) / 4)}


def test_a_fixed_weight_of_0_leaves_a_teacher_out() -> None:
    found = distilled(FixedWeights({"audio": 0, "text": 2}), pair(1), pair(2))
    assert found == {"kd": pytest.approx(kd(2))}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, r"weights=.* must have a sum above 0.*audio: 2, text: 1"),
        ({"audio": 0.0}, r"weights=.* must have a sum above 0"),
        ({"audio": -1.0, "text": 3.0}, r"weights\['audio'\]=-1.0 must be at least 0"),
        ({"audio": math.nan, "text": 3.0}, r"weights\['audio'\]=nan must be at least 0"),
    ],
)
def test_fixed_weights_that_weigh_nothing_are_an_error(
    weights: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        FixedWeights(weights)


def test_a_method_under_its_earlier_name_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Mine\.record is now called logged_values"):

        class Mine(FixedWeights):
            def record(self) -> dict[str, Tensor]:
                return {}


@pytest.mark.parametrize("weights", [{"audio": 1.0}, {"audio": 1.0, "txt": 1.0}])
def test_fixed_weights_for_other_teachers_are_an_error(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"the teachers are audio, text: give one weight"):
        Distiller(KDLoss(), BOTH, weights=FixedWeights(weights))


def test_learned_weights_start_as_the_plain_average() -> None:
    plain = distilled(None, pair(1), pair(2))
    found = distilled(LearnedWeights(), pair(1), pair(2))
    assert found == {"kd": pytest.approx(plain["kd"]), "uncertainty": 0}


def learned(**s: float) -> LearnedWeights:
    weights = LearnedWeights()
    weights.build(list(s))
    for modality, value in s.items():
        nn.init.constant_(weights.log_variance[modality], value)
    return weights.double()


def test_learned_weights_are_those_of_the_formula_and_so_is_their_gradient() -> None:
    weights = learned(audio=0.7, text=-0.3)
    found = Distiller(KDLoss(), BOTH, weights=weights)([pair(1), pair(2)])
    expected = (math.exp(-0.7) * kd(1) + math.exp(0.3) * kd(2)) / 2
    assert found["kd"].item() == pytest.approx(expected)
    assert found["uncertainty"].item() == pytest.approx((0.7 - 0.3) / 2)
    sum(found.values()).backward()
    for modality, seed, s in (("audio", 1, 0.7), ("text", 2, -0.3)):
        gradient = weights.log_variance[modality].grad
        assert gradient is not None
        assert gradient.item() == pytest.approx((1 - math.exp(-s) * kd(seed)) / 2)
    record = {name: value.item() for name, value in weights.logged_values().items()}
    assert record == pytest.approx(
        {"weight/audio": math.exp(-0.7) / 2, "weight/text": math.exp(0.3) / 2}
    )


def test_the_best_learned_weight_is_one_over_the_loss() -> None:
    weights = learned(audio=0.0, text=0.0)
    distiller = Distiller(KDLoss(), BOTH, weights=weights)
    optimizer = torch.optim.SGD(weights.parameters(), lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        sum(distiller([pair(1), pair(2)]).values()).backward()
        optimizer.step()
    assert kd(1) != pytest.approx(kd(2), rel=0.1)
    for modality, seed in (("audio", 1), ("text", 2)):
        s = weights.log_variance[modality].item()
        assert math.exp(-s) == pytest.approx(1 / kd(seed), rel=1e-6)


def test_a_teacher_that_teaches_nothing_leaves_its_learned_weight_alone() -> None:
    weights = learned(audio=0.7, text=-0.3)
    distiller = Distiller(KDLoss(), BOTH, weights=weights)
    found = distiller([pair(1), None])
    assert found["kd"].item() == pytest.approx(math.exp(-0.7) * kd(1) / 2)
    assert found["uncertainty"].item() == pytest.approx(0.7 / 2)
    sum(found.values()).backward()
    assert weights.log_variance["audio"].grad is not None
    assert weights.log_variance["text"].grad is None
    assert distiller([None, None]) == {}


@pytest.mark.parametrize("seeds", [(1, 2), (1, 2, 3)])
def test_confidence_weights_are_those_of_the_formula(seeds: tuple[int, ...]) -> None:
    weights = ConfidenceWeights()
    found = distilled(weights, *map(pair, seeds))
    expected = confidence(*seeds)
    assert sum(expected) == pytest.approx(1)
    total = sum(w * kd(seed) for w, seed in zip(expected, seeds, strict=True))
    assert found == {"kd": pytest.approx(total)}
    record = [value.item() for value in weights.logged_values().values()]
    assert record == pytest.approx(expected)


def test_the_teacher_that_is_right_counts_more_and_gets_no_gradient() -> None:
    target = torch.tensor([0, 1, 2, 0])
    right = 9 * nn.functional.one_hot(target, 3).double()
    right, wrong = right.requires_grad_(), right.detach().roll(1, 1).requires_grad_()
    pairs = {
        m: Pair(output(0), Output(output(1).features, z), target)
        for m, z in zip(BOTH, (right, wrong), strict=True)
    }
    found = ConfidenceWeights()(pairs)
    assert [float(w) for w in found.values()] == pytest.approx([1, 0], abs=1e-3)
    assert not any(w.requires_grad for w in found.values() if isinstance(w, Tensor))


def test_without_labels_confidence_is_the_plain_average() -> None:
    none = torch.full((4,), -100)
    plain = distilled(None, pair(1, none), pair(2, none))
    assert distilled(ConfidenceWeights(), pair(1, none), pair(2, none)) == pytest.approx(plain)
    # A teacher on whose pairs there is no label is not the surest of all.
    plain = distilled(None, pair(1), pair(2, none))
    assert distilled(ConfidenceWeights(), pair(1), pair(2, none)) == pytest.approx(plain)


def test_one_teacher_has_all_the_confidence() -> None:
    assert distilled(ConfidenceWeights(), pair(1)) == distilled(None, pair(1))


def test_confidence_is_shared_among_those_that_teach() -> None:
    assert distilled(ConfidenceWeights(), pair(1), None) == {"kd": pytest.approx(kd(1) / 2)}
    weights = ConfidenceWeights()
    first, second = confidence(1, 3)
    found = distilled(weights, pair(1), None, pair(3))
    assert found == {"kd": pytest.approx(2 / 3 * (first * kd(1) + second * kd(3)))}
    assert set(weights.logged_values()) == {"weight/audio", "weight/depth"}
    assert distilled(weights, None, None, None) == {}
    assert weights.logged_values() == {}


def test_confidence_counts_pixels_on_the_labels_grid() -> None:
    logits = torch.randn(2, 3, 2, 2).double()
    target = torch.tensor([0, 1, 2, -100]).repeat_interleave(8).view(2, 4, 4)
    fine = nn.functional.interpolate(logits, (4, 4), mode="bilinear")
    pairs = {
        m: Pair(output(0), Output(logits, scores), target)
        for m, scores in zip(("coarse", "fine", "none"), (logits, fine, 0 * fine), strict=True)
    }
    found = [float(w) for w in ConfidenceWeights()(pairs).values()]
    costs = [nn.functional.cross_entropy(fine, target).item(), math.log(3)]
    powers = [math.exp(costs[0])] * 2 + [3.0]
    assert found == pytest.approx([(1 - power / sum(powers)) / 2 for power in powers])


EVERY: list[Callable[[], TeacherWeights]] = [
    partial(FixedWeights, {"audio": 2.0, "text": 1.0}),
    LearnedWeights,
    ConfidenceWeights,
]


@pytest.mark.parametrize("make", EVERY)
def test_without_teachers_there_is_nothing_to_weigh(make: Callable[[], TeacherWeights]) -> None:
    class Free(DistillationLoss):
        def forward(
            self, student: Output, teacher: Output | None, target: Tensor
        ) -> dict[str, Tensor]:
            return {"free": student.features.sum()}

    distiller = Distiller(Free(), [], weights=make())
    assert [*distiller.parameters()] == []
    free = Pair(output(0), None, TARGET)
    assert distiller([free])["free"] == output(0).features.sum()
    assert distiller.logged_values() == {}


def test_weights_that_name_what_the_criterion_names_are_an_error() -> None:
    class Named(TeacherWeights):
        def forward(self, pairs: Mapping[str, Pair | None]) -> dict[str, float | Tensor]:
            return dict.fromkeys(pairs, 0.5)

        def terms(self, pairs: Mapping[str, Pair | None]) -> dict[str, Tensor]:
            return {"kd": torch.zeros(())}

    with pytest.raises(ValueError, match="Named and KDLoss both name kd"):
        distilled(Named(), pair(1), pair(2))


class Net(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Output:
        return Output(x, self.fc(x))


def samples() -> DataLoader[Any]:
    x = output(4).features.float().repeat(3, 1)
    found = [
        {"visual": x[i], "audio": x[i], "text": x[i - 1], "label": i % 3, "index": i}
        for i in range(12)
    ]
    return DataLoader(found, batch_size=4)  # type: ignore[arg-type]  # a list has what it needs


def module(weights: TeacherWeights | None) -> DistillationModule:
    return DistillationModule(
        Net(0),
        {"audio": Net(1), "text": Net(2)},
        KDLoss(),
        "visual",
        teacher_check_batches=0,
        teacher_weights=weights,
    )


def fit(model: DistillationModule, folder: Path, epochs: int = 1, **more: Any) -> Trainer:
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(model, samples(), **more)
    trainer.save_checkpoint(folder / f"{epochs}.ckpt")
    return trainer


def test_learned_weights_are_trained_logged_saved_and_resumed(tmp_path: Path) -> None:
    whole, half, resumed = (module(LearnedWeights()) for _ in range(3))
    logged = fit(whole, tmp_path, 2).callback_metrics
    fit(half, tmp_path)
    stored = torch.load(tmp_path / "1.ckpt", weights_only=True)["state_dict"]
    keys = [f"distiller.weights.log_variance.{modality}" for modality in BOTH]
    assert all(stored[key] != 0 for key in keys)
    fit(resumed, tmp_path, 2, ckpt_path=tmp_path / "1.ckpt")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert {"train/weight/audio", "train/weight/text", "train/uncertainty"} <= logged.keys()
    terms = logged["train/task"] + logged["train/kd"] + logged["train/uncertainty"]
    assert logged["train/loss"].item() == pytest.approx(terms.item(), rel=1e-5)
    assert logged["train/weight/audio"] != 0.5


def test_confidence_is_logged_and_leaves_nothing_in_the_checkpoint(tmp_path: Path) -> None:
    model = module(ConfidenceWeights())
    logged = fit(model, tmp_path).callback_metrics
    shares = [logged[f"train/weight/{modality}"].item() for modality in BOTH]
    assert sum(shares) == pytest.approx(1)
    assert shares[0] != pytest.approx(0.5, abs=1e-5)
    assert not any("weights" in name for name in model.state_dict())
    copy.deepcopy(model)


def test_fixed_equal_weights_are_none_at_all(tmp_path: Path) -> None:
    # Halves are exact: so equal weights are the plain average bitwise.
    plain, equal = module(None), module(FixedWeights({"audio": 1, "text": 1}))
    for i, model in enumerate((plain, equal)):
        fit(model, tmp_path / str(i))
    assert torch.equal(plain.model.fc.weight, equal.model.fc.weight)
    assert not torch.equal(plain.model.fc.weight, Net(0).fc.weight)
