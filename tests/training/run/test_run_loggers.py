import json
from pathlib import Path

import pytest
from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from fdkd_lightning.training.run.run_loggers import place_loggers, run_loggers
from fdkd_lightning.training.run.run_record import RECORD, VERSION


def test_a_csv_log_is_kept_beside_every_logger(tmp_path: Path) -> None:
    root = str(tmp_path)
    board, csv = TensorBoardLogger(root), CSVLogger(root)
    for chosen in (board, [board]):
        first, added = run_loggers(chosen, root)
        assert first is board
        assert isinstance(added, CSVLogger)
        assert Path(added.log_dir) == tmp_path / "logs/version_0"
    both: list[Logger] = [csv, board]
    assert run_loggers(both, root) == both


def test_only_the_current_folder_is_replaced() -> None:
    loggers = [
        Namespace(class_path="CSVLogger", init_args=Namespace(save_dir=x))
        for x in (".", "elsewhere")
    ]
    config = Namespace(trainer=Namespace(logger=loggers, default_root_dir="runs/a"))
    place_loggers(config, continues=True)
    assert [x.init_args.save_dir for x in loggers] == ["runs/a", "elsewhere"]


@pytest.mark.parametrize(
    ("continues", "given", "variable", "expected"),
    [
        (True, None, None, "of the fit"),
        (True, "own", None, "own"),
        (True, None, "of the agent", None),
        (False, None, None, None),
    ],
)
def test_wandb_goes_on_with_the_run_of_the_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    continues: bool,
    given: str | None,
    variable: str | None,
    expected: str | None,
) -> None:
    monkeypatch.delenv("WANDB_RUN_ID", raising=False)
    if variable:
        monkeypatch.setenv("WANDB_RUN_ID", variable)
    record = {"version": VERSION, "fit": {"wandb_id": "of the fit"}}
    (tmp_path / RECORD).write_text(json.dumps(record))
    logger = Namespace(class_path="WandbLogger", init_args=Namespace(save_dir=".", id=given))
    config = Namespace(trainer=Namespace(logger=logger, default_root_dir=str(tmp_path)))
    place_loggers(config, continues)
    assert logger.init_args.id == expected


def test_wandb_gets_no_argument_of_which_it_warns(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path)
    assert run_loggers(logger, str(tmp_path))[0] is logger
    assert "anonymous" not in logger._wandb_init
