"""One trial: ``fdkd fit`` in this process, watched at each validation."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from fdkd_lightning.study.cell import cause_of_failure
from fdkd_lightning.training.command import FDKDCLI
from fdkd_lightning.training.quiet_lightning import quiet_lightning
from fdkd_lightning.training.run.run_folder import run_folder
from fdkd_lightning.training.trainer_callbacks import trainer_callbacks


class Watch(Callback):
    """Report the metric of each validation; stop the fit if the answer says so.

    Args:
        metric: Name of the metric.
        report: (Step, value) -> whether to stop.
    """

    def __init__(self, metric: str, report: Callable[[int, float], bool]) -> None:
        self.metric = metric
        self.report = report

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the value, unless it is that of the sanity check.

        Raises:
            ValueError: If the metric is not logged.
        """
        if trainer.sanity_checking:
            return
        values = trainer.callback_metrics
        if self.metric not in values:
            known = ", ".join(name for name in values if name.startswith("val")) or "none"
            raise ValueError(f"metric.name={self.metric!r} is not logged: choose one of {known}")
        if self.report(trainer.global_step, float(values[self.metric])):
            trainer.should_stop = True


class TrialCLI(FDKDCLI):
    """``fdkd fit`` in a folder of the trial's own, which resumes what is there."""

    def __init__(self, args: list[str], run_id: str, watch: Watch) -> None:
        self._run_id, self._watch = run_id, watch
        super().__init__(args)

    def before_instantiate_classes(self) -> None:
        """Check that the folder is the trial's own, and resume from its last checkpoint."""
        config = self.config.fit
        folder = run_folder(config.trainer.default_root_dir)
        checkpoints = Path(config.checkpoint.dirpath or Path(folder) / "checkpoints")
        for name, value in (("default_root_dir", folder), ("checkpoint.dirpath", checkpoints)):
            if self._run_id not in str(value):
                raise ValueError(
                    f"{name}={str(value)!r} is the same for all trials: add "
                    "--trainer.default_root_dir=runs/sweep/$WANDB_RUN_ID to the command"
                )
        if (checkpoints / "last.ckpt").exists():
            config.ckpt_path = "last"
        super().before_instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add the watch; refuse several ranks, each of which would start the sweep again."""
        trainer = super().instantiate_trainer(**kwargs)
        ranks = trainer.num_devices * trainer.num_nodes
        if ranks > 1:
            raise ValueError(
                f"the trial would run on {ranks} devices: add --trainer.devices=1 to the command, "
                "and start fdkd sweep once per device (CUDA_VISIBLE_DEVICES)"
            )
        trainer_callbacks(trainer).append(self._watch)
        return trainer


def fit_trial(args: Sequence[str], run_id: str, watch: Watch, log: Path, group: str) -> str | None:
    """Run a trial; what it prints goes into a log.

    Args:
        args: Arguments of ``fdkd``, ``fit`` first.
        run_id: Value of ``$WANDB_RUN_ID``, and id of the W&B run.
        watch: Receives the metric.
        log: The log file, to which is appended.
        group: Group of the W&B run.

    Returns:
        None on success, else the error in one line.
    """
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    with (
        log.open("a", buffering=1, encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
        quiet_lightning(),
    ):
        try:
            with wandb_offline(run_id, group):
                TrialCLI([args[0], *quiet, *args[1:]], run_id, watch)
        except SIGTERMException:  # who ends a trial by a signal ends the sweep, which can resume
            raise
        except (Exception, SystemExit) as error:  # reported by the caller, beside other trials
            if isinstance(error.__context__, KeyboardInterrupt):  # Lightning makes an exit of it
                raise KeyboardInterrupt from error
            traceback.print_exc()
            return f"{run_id}: {cause_of_failure(log.read_text())} (see {log})"
    return None


@contextlib.contextmanager
def wandb_offline(run_id: str, group: str) -> Iterator[None]:
    """Set the environment of an offline W&B run, and end the run with the block."""
    own = {"WANDB_RUN_ID": run_id, "WANDB_RUN_GROUP": os.environ.get("WANDB_RUN_GROUP", group)}
    if os.environ.get("WANDB_MODE") != "disabled":
        own["WANDB_MODE"] = "offline"
    before = {name: os.environ.get(name) for name in own}
    _end_wandb(0)
    os.environ.update(own)
    failed = 1
    try:
        yield
        failed = 0
    finally:
        _end_wandb(failed)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _end_wandb(exit_code: int) -> None:
    """End the run, and W&B's session, which reads the environment only when it starts."""
    wandb = sys.modules.get("wandb")
    if wandb is not None:
        if wandb.run is not None:
            wandb.finish(exit_code=exit_code)
        wandb.teardown()
