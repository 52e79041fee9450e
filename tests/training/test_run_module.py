from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fits import equal, trainer, values
from small import Norm, Source, checkpoint, distilled, loader, unimodal
from torch import nn

from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.unimodal import UnimodalModule


def module(kind: str, student: nn.Module) -> UnimodalModule:
    return unimodal(student) if kind == "unimodal" else distilled(student)


def read(constant: float = 0.5) -> dict[str, torch.Tensor]:
    source = Source(constant)
    source.load()
    return values(source.net)


@pytest.mark.parametrize("kind", ["unimodal", "distilled"])
@pytest.mark.parametrize("entry", ["validate", "test", "predict", "forward"])
def test_weights_are_read_before_anything_is_evaluated(
    tmp_path: Path, kind: str, entry: str
) -> None:
    student = Source()
    made = module(kind, student)
    if entry == "forward":
        made.eval()(torch.zeros(2, 3))
    else:
        getattr(trainer(tmp_path), entry)(made, loader())
    assert student.reads == 1
    assert equal(values(student.net), read())


@pytest.mark.parametrize("kind", ["unimodal", "distilled"])
def test_a_second_fit_continues_from_what_was_learnt(tmp_path: Path, kind: str) -> None:
    student = Source()
    made, run = module(kind, student), trainer(tmp_path)
    run.fit(made, loader())
    learnt = values(student)
    assert not equal(learnt, read())
    # A prolonged trainer, then another one.
    run.fit_loop.max_epochs = 2
    run.fit(made, loader())
    assert not equal(values(student), learnt)
    learnt = values(student)
    trainer(tmp_path, limit_train_batches=0).fit(made, loader())
    trainer(tmp_path).validate(made, loader(), verbose=False)
    assert equal(values(student), learnt)
    assert student.reads == 1


@pytest.mark.parametrize("kind", ["unimodal", "distilled"])
@pytest.mark.parametrize("way", ["load_from_checkpoint", "ckpt_path", "load_state_dict"])
def test_weights_of_a_checkpoint_are_kept_and_no_others_read(
    tmp_path: Path, kind: str, way: str
) -> None:
    first, run = module(kind, Source()), trainer(tmp_path)
    run.fit(first, loader())
    run.save_checkpoint(path := checkpoint(tmp_path))
    learnt, student = values(first.model), Source()
    settings: dict[str, Any] = {}
    if way == "load_from_checkpoint":
        arguments: dict[str, Any] = {"model": student, "modality": "visual"}
        if kind == "distilled":
            fresh = distilled()
            arguments = {
                "student": student,
                "teachers": fresh.teachers,
                "criterion": fresh.criterion,
                "projector": fresh.distiller.projector,
                "student_modality": "visual",
                "teacher_check_batches": 0,
            }
        made = type(first).load_from_checkpoint(path, **arguments)
    else:
        made = module(kind, student)
        if way == "ckpt_path":
            settings = {"ckpt_path": path}
        else:
            student.load_state_dict(learnt)
    trainer(tmp_path, limit_train_batches=0).fit(made, loader(), **settings)
    trainer(tmp_path).test(made, loader(), verbose=False, **settings)
    assert student.reads == 0
    assert equal(values(student), learnt)


def test_some_weights_from_elsewhere_replace_those_that_were_read(tmp_path: Path) -> None:
    student = Source()
    student.load_state_dict({"net.fc.bias": torch.tensor([3.0, 4.0])}, strict=False)
    trainer(tmp_path).validate(unimodal(student), loader(), verbose=False)
    assert equal(values(student.net), {**read(), "fc.bias": torch.tensor([3.0, 4.0])})
    assert student.reads == 1


def test_trained_teachers_are_read_once_unless_a_checkpoint_has_them(tmp_path: Path) -> None:
    from fdkd_lightning.losses import KDLoss, MutualLoss

    def mutual(teacher: Source) -> DistillationModule:
        return distilled(
            teachers={"audio": teacher},
            criterion=MutualLoss(KDLoss()),
            train_teachers=True,
            projector=None,
        )

    teacher = Source()
    made, run = mutual(teacher), trainer(tmp_path)
    trainer(tmp_path).validate(made, loader(), verbose=False)
    assert teacher.reads == 0
    for epochs in (1, 2):
        run.fit_loop.max_epochs = epochs
        run.fit(made, loader())
    assert teacher.reads == 1
    assert not equal(values(teacher.net), read())
    run.save_checkpoint(path := checkpoint(tmp_path))
    again = Source()
    trainer(tmp_path, epochs=2).fit(mutual(again), loader(), ckpt_path=path)
    assert again.reads == 0
    assert equal(values(again), values(teacher))


def test_frozen_teachers_are_read_once_in_every_process(tmp_path: Path) -> None:
    teacher = Source(width=6)
    made, run = distilled(teachers={"audio": teacher}), trainer(tmp_path)
    run.fit(made, loader())
    trainer(tmp_path).fit(made, loader())
    assert teacher.reads == 1
    run.save_checkpoint(path := checkpoint(tmp_path))
    again = Source(width=6)
    trainer(tmp_path, epochs=1).fit(distilled(teachers={"audio": again}), loader(), ckpt_path=path)
    assert again.reads == 1


class Poisoned(Norm):
    """Gives NaN from its fourth training step on."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> Any:
        self.calls += 1
        output = super().forward(x)
        bad = self.calls > 4
        return output._replace(features=output.features * float("nan")) if bad else output


@pytest.mark.parametrize("kind", ["unimodal", "distilled"])
def test_a_run_that_diverges_ends_before_it_is_validated_or_saved(
    tmp_path: Path, kind: str
) -> None:
    made = module(kind, Poisoned())
    run = trainer(tmp_path, epochs=9, num_sanity_val_steps=0)
    with pytest.raises(FloatingPointError, match=r"diverged: the visual (model|student)'s feature"):
        run.fit(made, loader(), loader())
    assert run.current_epoch < 3
    assert made.val_loss.total == 0 or run.current_epoch > 0


def test_a_teacher_that_turns_nan_is_named(tmp_path: Path) -> None:
    made = distilled(teachers={"audio": Poisoned(6)})
    with pytest.raises(FloatingPointError, match=r"the audio teacher's features are NaN .*step"):
        trainer(tmp_path, epochs=9).fit(made, loader())


def test_weights_that_the_last_step_made_nan_are_an_error(tmp_path: Path) -> None:
    made = unimodal()
    run = trainer(tmp_path, limit_train_batches=1)
    made.optimizer = lambda parameters: torch.optim.SGD(parameters, lr=float("inf"))
    with pytest.raises(FloatingPointError, match="a weight of the module is NaN"):
        run.fit(made, loader())


class Detached(Norm):
    def forward(self, x: torch.Tensor) -> Any:
        output = super().forward(x)
        return output._replace(features=output.features.detach())


class Reentrant(Norm):
    def forward(self, x: torch.Tensor) -> Any:
        features = torch.utils.checkpoint.checkpoint(
            lambda x: self.norm(self.body(x)), x, use_reentrant=True
        )
        return super().forward(x)._replace(features=features)


def frozen() -> Norm:
    net = Norm()
    net.body.requires_grad_(False)
    net.norm.requires_grad_(False)
    return net


@pytest.mark.parametrize("student", [Detached, Reentrant, frozen])
def test_an_epoch_that_teaches_the_student_nothing_is_an_error(
    tmp_path: Path, student: Any
) -> None:
    message = r"no term in the loss of DistillationModule came from the student's outputs .* train"
    with pytest.raises(RuntimeError, match=message):
        trainer(tmp_path).fit(distilled(student()), loader())


def test_a_frozen_body_is_taught_through_its_logits(tmp_path: Path) -> None:
    from fdkd_lightning.losses import KDLoss

    made = distilled(frozen(), criterion=KDLoss(), projector=None)
    trainer(tmp_path).fit(made, loader())


@pytest.mark.parametrize("kind", ["unimodal", "distilled"])
@pytest.mark.filterwarnings("ignore")
def test_neither_test_nor_resume_takes_weights_that_are_none(tmp_path: Path, kind: str) -> None:
    first = trainer(tmp_path)
    first.fit(module(kind, Norm()), loader())
    path = checkpoint(tmp_path)
    first.save_checkpoint(path)
    whole = torch.load(path, weights_only=True)
    name = "model.fc.weight"
    weight = whole["state_dict"][name]
    for value, part in (
        (torch.full_like(weight, torch.nan), f"1 hold NaN (such as {name})"),
        (None, f"1 weights are missing (such as {name})"),
    ):
        stored = {k: v for k, v in whole["state_dict"].items() if k != name}
        if value is not None:
            stored[name] = value
        torch.save({**whole, "state_dict": stored}, path)
        again = module(kind, Norm())
        before = values(again.model)
        for run in (trainer(tmp_path).test, trainer(tmp_path).fit):
            with pytest.raises(ValueError, match=r"^ckpt_path='.*some\.ckpt' ") as error:
                run(again, loader(), ckpt_path=path, weights_only=True)
            assert part in str(error.value)
            assert equal(values(again.model), before)


def test_without_strict_other_names_are_left_to_torch() -> None:
    found = unimodal()
    state = found.state_dict()
    del state["model.fc.bias"]
    assert found.load_state_dict(state, strict=False).missing_keys == ["model.fc.bias"]
    with pytest.raises(ValueError, match="the state dict holds no usable weights"):
        found.load_state_dict(
            {k: v * torch.nan if v.ndim > 1 else v for k, v in state.items()}, False
        )


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.filterwarnings("ignore")
def test_an_optimizer_that_is_not_finite_is_not_resumed(tmp_path: Path, value: float) -> None:
    first = trainer(tmp_path)
    made = module("unimodal", Source())
    made.optimizer = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    first.fit(made, loader())
    path = tmp_path / "a.ckpt"
    first.save_checkpoint(path)
    whole = torch.load(path, weights_only=True)
    whole["optimizer_states"][0]["state"][0]["momentum_buffer"].view(-1)[0] = value
    torch.save(whole, path)
    second = trainer(tmp_path)
    with pytest.raises(
        ValueError, match=r"ckpt_path='.*a\.ckpt' holds no .* momentum_buffer of parameter 0 is NaN"
    ):
        second.fit(made, loader(), ckpt_path=path)
    # Its weights alone are used here.
    second.test(module("unimodal", Source()), loader(), ckpt_path=path)
