import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.losses import FDKDLoss, KDLoss, MutualLoss
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.models.pretrained import DeferredModel, PretrainedModel, load_pretrained
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Output


class Net(nn.Module):
    """Has buffers, so that more than parameters must come back."""

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(size)
        self.fc = nn.Linear(size, 3)

    def forward(self, x: Tensor) -> Output:
        features = self.norm(x)
        return Output(features, self.fc(features))


class Call:
    """Pickled, it is a call of ``function`` to be made by whoever unpickles it."""

    def __init__(self, function: Callable[..., Any], argument: str) -> None:
        self.function = function
        self.argument = argument

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return self.function, (self.argument,)


def fitted(module: LightningModule, checkpoint: Path) -> dict[str, Tensor]:
    """Train for an epoch, let Lightning write the checkpoint, and return all weights."""
    torch.manual_seed(0)
    samples = [
        {"audio": torch.randn(4), "visual": torch.randn(4), "label": i % 3, "index": i}
        for i in range(6)
    ]
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=checkpoint.parent,
    )
    trainer.fit(module, DataLoader(samples, batch_size=3))
    trainer.save_checkpoint(checkpoint)
    return module.state_dict()


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def saved(path: Path, content: Any) -> PretrainedModel:
    torch.save(content, path)
    return PretrainedModel(Net(), path)


def test_a_unimodal_checkpoint_gives_its_network(tmp_path: Path) -> None:
    net = Net()
    before = state(net)
    fitted(UnimodalModule(net, "audio"), tmp_path / "teacher.ckpt")
    model = PretrainedModel(Net(), tmp_path / "teacher.ckpt")
    model.load()
    assert_same(state(model.model), state(net))
    assert all(not torch.equal(value, before[name]) for name, value in state(net).items())


def test_a_distillation_checkpoint_gives_the_student_alone(tmp_path: Path) -> None:
    student = Net()
    module = DistillationModule(
        student,
        {"visual": Net(5)},
        FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead(), band_heads=SharedAlignmentHead()),
        student_modality="audio",
        projector=Projector(),
        teacher_check_batches=0,
    )
    module.teachers["visual"].norm = nn.ConstantPad1d((0, 1), 0.0)
    names = fitted(module, tmp_path / "student.ckpt")
    assert {name.split(".")[0] for name in names} == {"model", "distiller"}
    model = PretrainedModel(Net(), tmp_path / "student.ckpt")
    model.load()
    assert_same(state(model.model), state(student))


def test_a_network_that_was_itself_pretrained_is_found_below_two_names(tmp_path: Path) -> None:
    torch.save(Net().state_dict(), tmp_path / "first.pt")
    module = UnimodalModule(PretrainedModel(Net(), tmp_path / "first.pt"), "audio")
    names = fitted(module, tmp_path / "second.ckpt")
    assert "model.model.fc.weight" in names
    model = PretrainedModel(Net(), tmp_path / "second.ckpt")
    model.load()
    assert_same(state(model.model), state(module.model.model))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_plain_state_dict_is_taken_as_it_is(tmp_path: Path, zipped: bool) -> None:
    net = Net()
    path = tmp_path / "weights.pt"
    torch.save(net.state_dict(), path, _use_new_zipfile_serialization=zipped)
    model = PretrainedModel(Net(), str(path))
    model.load()
    assert_same(state(model.model), state(net))
    x = torch.randn(2, 4)
    torch.testing.assert_close(model.eval()(x), net.eval()(x))


def test_a_network_with_a_part_called_model_is_found(tmp_path: Path) -> None:
    def network() -> nn.Module:
        return nn.ModuleDict({"model": nn.Linear(2, 2)})

    trained = network()
    for prefix in ("", "model."):
        path = tmp_path / f"{prefix}pt"
        torch.save({prefix + name: value for name, value in trained.state_dict().items()}, path)
        model = PretrainedModel(network(), path)
        model.load()
        assert_same(state(model.model), state(trained))


def test_nothing_is_read_before_load(tmp_path: Path) -> None:
    net = Net()
    before = state(net)
    path = tmp_path / "later.ckpt"
    model = PretrainedModel(net, path)
    assert model(torch.randn(2, 4)).logits.shape == (2, 3)
    assert torch.equal(net.fc.weight, before["fc.weight"])
    later = Net()
    torch.save(later.state_dict(), path)
    assert torch.equal(net.fc.weight, before["fc.weight"])
    model.load()
    assert_same(state(net), state(later))


def test_a_missing_file_is_named_with_the_folder_it_was_looked_for_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"'runs/no.ckpt' is not a file") as error:
        PretrainedModel(Net(), "runs/no.ckpt").load()
    assert repr(str(tmp_path)) in str(error.value)


def test_a_folder_is_not_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a file"):
        PretrainedModel(Net(), tmp_path).load()


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint\n", b'{"a": 1}', b"<html>404</html>"], ids=str
)
def test_a_file_that_is_no_checkpoint_is_an_error_that_names_it(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "wrong.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint='.*wrong\.ckpt' is not a checkpoint"):
        PretrainedModel(Net(), path).load()


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.99])
def test_a_truncated_checkpoint_is_called_damaged(tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.ckpt"
    model = saved(path, Net().state_dict())
    before = state(model)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"cut\.ckpt' is not a checkpoint, or a damaged one"):
        model.load()
    assert_same(state(model), before)


def make_folder(path: str) -> None:
    Path(path).mkdir()


@pytest.mark.parametrize("function", [make_folder, os.mkdir], ids=["python", "os"])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("beside_weights", [True, False])
def test_pickled_code_is_refused_and_never_run(
    tmp_path: Path, function: Callable[[str], None], zipped: bool, beside_weights: bool
) -> None:
    path, trace = tmp_path / "evil.ckpt", tmp_path / "trace"
    call = Call(function, str(trace))
    content = {"state_dict": Net().state_dict(), "extra": call} if beside_weights else call
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"checkpoint='.*evil\.ckpt' holds pickled code"):
        PretrainedModel(Net(), path).load()
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()


def test_a_plain_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "evil.ckpt", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Call(make_folder, str(trace)), protocol=2))
    with pytest.raises(ValueError, match=r"checkpoint='.*evil\.ckpt'"):
        PretrainedModel(Net(), path).load()
    assert not trace.exists()
    pickle.loads(path.read_bytes())
    assert trace.exists()


def test_a_whole_pickled_model_is_refused_with_what_to_save_instead(tmp_path: Path) -> None:
    model = saved(tmp_path / "whole.pt", Net())
    with pytest.raises(ValueError, match=r"pickled code .* never run: save `model.state_dict\(\)`"):
        model.load()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ([torch.ones(1)], "list"),
        (torch.ones(1), "Tensor"),
        ({"epoch": 3}, "dict"),
        ({"state_dict": 1}, "int"),
        ({1: torch.ones(1)}, "dict"),
    ],
)
def test_what_is_not_a_state_dict_is_named(tmp_path: Path, content: Any, kind: str) -> None:
    with pytest.raises(ValueError, match=f"holds {kind}, not a state dict"):
        saved(tmp_path / "other.pt", content).load()


@pytest.mark.parametrize("prefix", ["", "model."])
def test_weights_that_do_not_fit_are_named_and_change_nothing(tmp_path: Path, prefix: str) -> None:
    weights = Net().state_dict()
    del weights["fc.bias"]
    weights["head.weight"] = torch.ones(1)
    weights["fc.weight"] = torch.ones(7, 4)
    model = saved(tmp_path / "misfit.pt", {prefix + name: w for name, w in weights.items()})
    before = state(model)
    with pytest.raises(ValueError, match=r"misfit\.pt' does not fit the model") as error:
        model.load()
    message = str(error.value)
    assert "1 weights are missing (such as fc.bias)" in message
    assert "1 are not the model's (such as head.weight)" in message
    assert "1 have another shape (such as fc.weight [7, 4] instead of [3, 4])" in message
    assert_same(state(model), before)


def test_only_the_kinds_of_misfit_that_occur_are_named(tmp_path: Path) -> None:
    weights = Net().state_dict() | {f"more.{i}": torch.ones(1) for i in range(9)}
    with pytest.raises(ValueError, match=r"9 are not .* more\.0\)") as error:
        saved(tmp_path / "more.pt", weights).load()
    assert "missing" not in str(error.value)
    assert "shape" not in str(error.value)


def test_load_pretrained_finds_them_wherever_they_are(tmp_path: Path) -> None:
    nets = [Net(), Net()]
    parts = []
    for i, net in enumerate(nets):
        parts.append(saved(tmp_path / f"{i}.pt", net.state_dict()))
    plain = Net()
    before = state(plain)
    load_pretrained(nn.ModuleList([plain, parts[0], nn.Sequential(nn.Identity(), parts[1])]))
    for part, net in zip(parts, nets, strict=True):
        assert_same(state(part.model), state(net))
    assert_same(state(plain), before)


def test_load_pretrained_loads_the_module_itself(tmp_path: Path) -> None:
    net = Net()
    model = saved(tmp_path / "0.pt", net.state_dict())
    load_pretrained(model)
    assert_same(state(model.model), state(net))


class Counting(DeferredModel):
    """Counts how often it is loaded, and is one network."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()
        self.loads = 0

    def load(self) -> None:
        self.loads += 1

    def forward(self, x: Tensor) -> Output:
        output: Output = self.net(x)
        return output


def test_what_a_checkpoint_replaces_is_not_read_before(tmp_path: Path) -> None:
    torch.save(Counting().state_dict(), tmp_path / "own.pt")
    inner, alone = Counting(), Counting()
    load_pretrained(nn.ModuleList([PretrainedModel(inner, tmp_path / "own.pt"), alone]))
    assert (inner.loads, alone.loads) == (0, 1)
    torch.testing.assert_close(state(inner), torch.load(tmp_path / "own.pt"))


class Theirs(LightningModule):
    """As somebody else writes one: another name for the network, a head, hyper-parameters."""

    def __init__(self, size: int = 4, lr: float = 0.1, name: str = "theirs", **more: Any) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.backbone = Net(size)
        self.ema = nn.ModuleDict({"copy": Net(size)})
        self.classifier = nn.Linear(3, 2)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss: Tensor = self.classifier(self.backbone(batch["audio"]).logits).square().mean()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.hparams["lr"])


def loaded(path: Path, prefix: str | None) -> dict[str, Tensor]:
    model = PretrainedModel(Net(), path, prefix)
    model.load()
    return state(model.model)


@pytest.mark.parametrize("prefix", ["backbone", "backbone."])
def test_a_part_of_a_foreign_lightning_module_can_teach(tmp_path: Path, prefix: str) -> None:
    theirs = Theirs(sizes=[1, 2], schedule={"steps": (3, 4)}, warm=None)
    fitted(theirs, tmp_path / "theirs.ckpt")
    stored = torch.load(tmp_path / "theirs.ckpt", weights_only=True)
    assert stored["hyper_parameters"]["schedule"] == {"steps": (3, 4)}
    assert_same(loaded(tmp_path / "theirs.ckpt", prefix), state(theirs.backbone))
    assert_same(loaded(tmp_path / "theirs.ckpt", "ema.copy"), state(theirs.ema["copy"]))
    assert not torch.equal(theirs.backbone.fc.weight, theirs.ema["copy"].fc.weight)


@pytest.mark.parametrize("prefix", [None, "encoder", "back", "teachers.audio."])
def test_where_the_weights_are_is_said(tmp_path: Path, prefix: str | None) -> None:
    fitted(Theirs(), tmp_path / "theirs.ckpt")
    with pytest.raises(ValueError, match=r"prefix='backbone' or prefix='ema\.copy'"):
        loaded(tmp_path / "theirs.ckpt", prefix)


def test_what_names_there_are_is_said_where_no_part_fits(tmp_path: Path) -> None:
    fitted(Theirs(), tmp_path / "theirs.ckpt")
    names = "the names in the file begin with backbone, ema, classifier"
    # A classifier's weights are below "classifier" and elsewhere, an embedding's nowhere.
    other = nn.ModuleDict({"embedding": nn.Embedding(2, 2)})
    with pytest.raises(ValueError, match=f"holds nothing below prefix='encoder': {names}"):
        PretrainedModel(other, tmp_path / "theirs.ckpt", "encoder").load()
    with pytest.raises(ValueError, match=f"1 weights are missing.*or a prefix: {names}"):
        PretrainedModel(other, tmp_path / "theirs.ckpt").load()


def test_what_a_foreign_checkpoint_holds_besides_weights_is_named(tmp_path: Path) -> None:
    fitted(Theirs(root=Path("data")), tmp_path / "theirs.ckpt")
    with pytest.raises(ValueError, match=r"pickled code .*\(pathlib.*Path\)") as error:
        loaded(tmp_path / "theirs.ckpt", "backbone")
    # The way out that the message shows is one.
    assert "torch.save(torch.load(path, weights_only=False)['state_dict'], 'weights.pt')" in str(
        error.value
    )
    theirs = torch.load(tmp_path / "theirs.ckpt", weights_only=False)["state_dict"]
    torch.save(theirs, tmp_path / "weights.pt")
    found = loaded(tmp_path / "weights.pt", "backbone")
    assert torch.equal(found["fc.weight"], theirs["backbone.fc.weight"])


def test_a_teacher_that_was_trained_along_is_taken_out_of_the_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "first.pt"
    torch.save(Net().state_dict(), file)
    for teacher in (Net(), PretrainedModel(Net(), file)):
        module = DistillationModule(
            Net(),
            {"visual": teacher},
            MutualLoss(KDLoss()),
            student_modality="audio",
            teacher_check_batches=0,
            train_teachers=True,
        )
        fitted(module, tmp_path / "both.ckpt")
        trained = teacher.model if isinstance(teacher, PretrainedModel) else teacher
        assert_same(loaded(tmp_path / "both.ckpt", "teachers.visual"), state(trained))
        assert_same(loaded(tmp_path / "both.ckpt", None), state(module.model))


def test_without_a_word_of_its_own_a_network_is_built_by_its_arguments() -> None:
    assert PretrainedModel(Net(), "nowhere.ckpt").self_contained() == {}


def test_wrong_types_are_named() -> None:
    net: Any = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="model=None is of type NoneType"):
        PretrainedModel(None, "a.ckpt")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="checkpoint=3 must be the path of a file"):
        PretrainedModel(net, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="prefix=3 must be a text"):
        PretrainedModel(net, "a.ckpt", prefix=3)  # type: ignore[arg-type]


def test_the_names_of_a_runs_classes_are_known_after_loading(tmp_path: Path) -> None:
    network = nn.Linear(2, 1)
    run = {"state_dict": {f"model.{k}": v for k, v in network.state_dict().items()}}
    for content, names in (
        (run | {"class_names": ["cat", "dog"]}, ("cat", "dog")),
        (run, ()),
        (network.state_dict(), ()),
    ):
        torch.save(content, tmp_path / "a.ckpt")
        model = PretrainedModel(nn.Linear(2, 1), tmp_path / "a.ckpt")
        assert model.class_names == ()
        model.load()
        assert model.class_names == names
