"""``fdkd fit`` for a run of a study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger

from fdkd_lightning.training.command import FDKDCLI


class StudyCLI(FDKDCLI):
    """``fdkd fit`` with the study's teachers' checkpoints, and its loggers beside a CSV logger."""

    def __init__(
        self, args: list[str], teachers: Mapping[str, Path], loggers: Sequence[Logger] = ()
    ) -> None:
        self._teachers, self._loggers = teachers, loggers
        super().__init__(args)

    def before_instantiate_classes(self) -> None:
        """Set the teachers' checkpoints, and the seed of the data module if it has one."""
        self.set_teacher_checkpoints()
        config = self.config.fit
        if "seed" in (config.data.get("init_args") or {}):
            config.data.init_args.seed = config.seed_everything
        super().before_instantiate_classes()

    def set_teacher_checkpoints(self) -> None:
        """Set the teachers' checkpoints.

        Raises:
            ValueError: If the model has a teacher that the study does not train.
        """
        config = self.config.fit
        arguments = config.model.get("init_args") or {}
        for modality, teacher in (arguments.get("teachers") or {}).items():
            if modality not in self._teachers or "checkpoint" not in teacher.get("init_args", {}):
                raise ValueError(
                    f"model.teachers.{modality} ({teacher.class_path}) cannot load a teacher of "
                    f"this study, which trains {', '.join(self._teachers) or 'none'}: list "
                    f"{modality!r} in the direction's teachers and use PretrainedModel"
                )
            teacher.init_args.checkpoint = str(self._teachers[modality])

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Log to CSV, and flush it seldom."""
        csv = CSVLogger(self._root, name="logs", flush_logs_every_n_steps=1000)
        kwargs["logger"] = [csv, *self._loggers]
        return super().instantiate_trainer(**kwargs)
