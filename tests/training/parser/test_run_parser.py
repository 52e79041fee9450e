import re
import sys
from pathlib import Path

import pytest

from fdkd_lightning.training.command import FDKDCLI
from fdkd_lightning.training.parser import clear_parser

CONFIG = Path(__file__).parents[3] / "configs/demo/distill_visual.yaml"
NEW = "has no argument 'places' any more: write positions"
LAYERWISE = """
model:
  init_args:
    criterion:
      class_path: fdkd_lightning.LayerwiseLoss
      init_args: {criterion: {class_path: fdkd_lightning.FeatureLoss}, places: mean}
"""


def output(capsys: pytest.CaptureFixture[str], code: int, *args: str) -> str:
    with pytest.raises(SystemExit) as error:
        FDKDCLI(["fit", *args])
    assert error.value.code == code
    shown = capsys.readouterr()
    return shown.err if code else shown.out


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fdkd"])


@pytest.mark.parametrize("init_args", ["", "init_args."])
def test_an_old_name_on_the_command_line_is_refused_by_the_new_one(
    capsys: pytest.CaptureFixture[str], init_args: str
) -> None:
    old = f"--model.projector.{init_args}places=mean"
    projector = "--model.projector=fdkd_lightning.Projector"
    message = output(capsys, 2, f"--config={CONFIG}", projector, old)
    assert f"error: Projector {NEW}" in message
    assert len(message.splitlines()) < 5


def test_an_old_name_in_a_configuration_is_refused_by_the_new_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "old.yaml").write_text(LAYERWISE)
    message = output(capsys, 2, f"--config={CONFIG}", f"--config={tmp_path / 'old.yaml'}")
    assert f"error: LayerwiseLoss {NEW}" in message
    assert len(message.splitlines()) < 5


LIBRARIES = {"torch", "torchvision", "torchmetrics", "lightning", "timm", "transformers"}


def test_the_help_of_a_class_lists_no_classes_of_libraries(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_to_users = {"fdkd_lightning", *LIBRARIES}
    is_left_out = clear_parser._is_of_library
    # Without those of other tests of this process, which may make a list too long to be shown.
    monkeypatch.setattr(
        clear_parser,
        "_is_of_library",
        lambda path: path.partition(".")[0] not in shown_to_users or is_left_out(path),
    )
    text = output(capsys, 0, "--model.help=DistillationModule")
    assert len(text.splitlines()) < 160
    shown = " ".join(text.split())
    lists = re.findall(r"known subclasses: ([^)]*)", shown)
    names = [name for found in lists for name in found.split(", ")]
    assert {"fdkd_lightning.FDKDLoss", "fdkd_lightning.KDLoss"} <= {*names}
    assert not {name.partition(".")[0] for name in names} & LIBRARIES
