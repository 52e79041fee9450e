from pathlib import Path

from fdkd_lightning.files.run_logs import has_training, log_files, trained_config


def start(run: Path, number: int, header: str, config: bool = True) -> Path:
    """Write what one start of a command leaves in a run's folder."""
    folder = run / f"logs/version_{number}"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(f"{header}\n")
    if config:
        (folder / "config.yaml").touch()
    return folder


def test_logs_are_in_the_order_of_their_starts(tmp_path: Path) -> None:
    folders = [start(tmp_path, number, "step,train/loss") for number in (9, 10)]
    (tmp_path / "logs/version_old").mkdir()
    assert log_files(tmp_path) == [folder / "metrics.csv" for folder in folders]


def test_the_configuration_is_that_of_the_latest_fit(tmp_path: Path) -> None:
    best = tmp_path / "checkpoints/best.ckpt"
    assert trained_config(best) is None
    first = start(tmp_path, 2, "epoch,step,train/loss,val/loss")
    assert trained_config(best) == first / "config.yaml"
    latest = start(tmp_path, 10, "epoch,step,train_loss")
    start(tmp_path, 11, "epoch,step,test/loss")
    start(tmp_path, 12, "epoch,step,train/loss", config=False)
    assert trained_config(best) == latest / "config.yaml"


def test_a_damaged_log_is_of_no_training_here(tmp_path: Path) -> None:
    folder = start(tmp_path, 0, "step,train/loss")
    assert has_training(folder / "metrics.csv")
    (folder / "metrics.csv").write_bytes(b"\xff\xfe\x00step")
    assert trained_config(tmp_path / "checkpoints/best.ckpt") is None
    (folder / "metrics.csv").unlink()
    assert not has_training(folder / "metrics.csv")
