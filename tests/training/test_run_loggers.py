from pathlib import Path

from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from fdkd_lightning.training.run_loggers import redirect_loggers, run_loggers


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


def test_only_the_current_folder_is_redirected() -> None:
    loggers = [Namespace(init_args=Namespace(save_dir=x)) for x in (".", "elsewhere")]
    redirect_loggers(Namespace(trainer=Namespace(logger=loggers, default_root_dir="runs/a")))
    assert [x.init_args.save_dir for x in loggers] == ["runs/a", "elsewhere"]


def test_wandb_gets_no_argument_of_which_it_warns(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path)
    assert run_loggers(logger, str(tmp_path))[0] is logger
    assert "anonymous" not in logger._wandb_init
