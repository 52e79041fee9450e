from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from fdkd_lightning import KDLoss
from fdkd_lightning.models import ResNet
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.unimodal import UnimodalModule

SIZES = {"in_chans": 1, "layers": (1, 1, 1, 1), "channels": (4, 4, 4, 4)}


def module(kind: str) -> UnimodalModule:
    torch.manual_seed(0)
    net = ResNet(3, **SIZES)  # type: ignore[arg-type]
    if kind == "unimodal":
        return UnimodalModule(net, "visual")
    teacher = ResNet(3, **SIZES)  # type: ignore[arg-type]
    return DistillationModule(net, {"audio": teacher}, KDLoss(), "visual", teacher_check_batches=0)


def loader() -> DataLoader[object]:
    keys = ("visual", "audio")
    samples = [{**{k: torch.randn(1, 32, 32) for k in keys}, "label": i % 3} for i in range(4)]
    return DataLoader(samples, batch_size=2)  # type: ignore[arg-type]


def trainer(folder: Path) -> Trainer:
    return Trainer(
        default_root_dir=folder,
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@pytest.mark.parametrize("kind", ["unimodal", "distillation"])
@pytest.mark.filterwarnings("ignore")
def test_neither_test_nor_resume_takes_weights_that_are_none(tmp_path: Path, kind: str) -> None:
    first = trainer(tmp_path)
    first.fit(module(kind), loader())
    path = tmp_path / "a.ckpt"
    first.save_checkpoint(path)
    whole = torch.load(path, weights_only=True)
    name = "model.net.fc.weight"
    weight = whole["state_dict"][name]
    for value, part in (
        (torch.full_like(weight, torch.nan), f"1 hold NaN (such as {name})"),
        (None, f"1 weights are missing (such as {name})"),
    ):
        stored = {k: v for k, v in whole["state_dict"].items() if k != name}
        if value is not None:
            stored[name] = value
        torch.save({**whole, "state_dict": stored}, path)
        again = module(kind)
        for run in (trainer(tmp_path).test, trainer(tmp_path).fit):
            before = {k: v.clone() for k, v in again.model.state_dict().items()}
            with pytest.raises(ValueError, match=r"^ckpt_path='.*a\.ckpt' ") as error:
                run(again, loader(), ckpt_path=path, weights_only=True)
            assert part in str(error.value)
            assert all(torch.equal(v, before[k]) for k, v in again.model.state_dict().items())


def test_without_strict_other_names_are_left_to_torch() -> None:
    found = module("unimodal")
    state = found.state_dict()
    del state["model.net.fc.bias"]
    assert found.load_state_dict(state, strict=False).missing_keys == ["model.net.fc.bias"]
    with pytest.raises(ValueError, match="the state dict holds no usable weights"):
        found.load_state_dict(
            {k: v * torch.nan if v.ndim > 1 else v for k, v in state.items()}, False
        )


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.filterwarnings("ignore")
def test_an_optimizer_that_is_not_finite_is_not_resumed(tmp_path: Path, value: float) -> None:
    first = trainer(tmp_path)
    first.fit(module("unimodal"), loader())
    path = tmp_path / "a.ckpt"
    first.save_checkpoint(path)
    whole = torch.load(path, weights_only=True)
    whole["optimizer_states"][0]["state"][3]["momentum_buffer"].view(-1)[0] = value
    torch.save(whole, path)
    second = trainer(tmp_path)
    with pytest.raises(
        ValueError, match=r"ckpt_path='.*a\.ckpt' holds no .* momentum_buffer of parameter 3 is NaN"
    ):
        second.fit(module("unimodal"), loader(), ckpt_path=path)
    # Its weights alone are used here.
    second.test(module("unimodal"), loader(), ckpt_path=path)
