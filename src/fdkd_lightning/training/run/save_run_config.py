"""Save a run's configuration in its log folder."""

import json
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.training.run.redaction import redact


class SaveRunConfig(SaveConfigCallback):
    """Save the configuration in the log folder, and log it to loggers that write elsewhere."""

    _log_dir: Path | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save once; an evaluation must not overwrite the configuration of fit."""
        log_dir = trainer.log_dir  # on all ranks, which wait for each other
        if log_dir is not None:
            separate = Path(log_dir) != Path(trainer.default_root_dir)
            self._log_dir = Path(log_dir) if stage == "fit" or separate else None
        self.save_to_log_dir = False  # Lightning's own writing, which may leave a torn file
        super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it, and log it to loggers whose files are not in the run's folder."""
        if self._log_dir is not None:
            self._log_dir.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._log_dir / self.config_filename, "w") as file:
                file.write(self._dump("parser_mode"))
        others = [x for x in trainer.loggers if not isinstance(x, CSVLogger | TensorBoardLogger)]
        if others:
            # A service, such as W&B, shows them to others.
            config = redact(json.loads(self._dump("json")))
        for logger in others:
            logger.log_hyperparams(config)

    def _dump(self, form: str) -> str:
        # Parsing has checked the values; to check them again takes most of the time.
        text: str = self.parser.dump(
            self.config, format=form, skip_unset=False, skip_validation=True
        )
        return text
