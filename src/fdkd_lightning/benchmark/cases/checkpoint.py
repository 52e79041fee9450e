"""Bytes of a checkpoint, against those of what it has to hold."""

import tempfile
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Trainer

from fdkd_lightning.benchmark.cases.case import Case
from fdkd_lightning.benchmark.cases.networks import RESNET_18, SMALL, Setting, SyntheticPairs
from fdkd_lightning.benchmark.cases.step_loops import QUIET
from fdkd_lightning.benchmark.measure import Limits
from fdkd_lightning.benchmark.row import Row, value_row


def measure_checkpoint(setting: Setting, limits: Limits) -> list[Row]:
    """Write the checkpoint of a fit of one step, and the parts that it has to hold."""
    module = setting.module(setting.teacher())
    trainer = Trainer(max_steps=1, **QUIET)
    trainer.fit(module, datamodule=SyntheticPairs(setting, batches=1))
    with tempfile.TemporaryDirectory() as folder:
        parts, whole = Path(folder, "parts.pt"), Path(folder, "whole.ckpt")
        [optimizer] = trainer.optimizers
        held = {
            "student": module.model.state_dict(),
            "heads": module.criterion.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        torch.save(held, parts)
        trainer.save_checkpoint(whole)
        sizes = parts.stat().st_size, whole.stat().st_size
    names = "student, heads and optimizer", "checkpoint"
    first = value_row("checkpoint", setting.name, names[0], "bytes", sizes[0])
    return [first, value_row("checkpoint", setting.name, names[1], "bytes", sizes[1], first)]


CASE = Case(
    "checkpoint",
    "Bytes of a checkpoint, against those of student, shared heads and optimizer state alone.",
    tuple(partial(measure_checkpoint, setting) for setting in (RESNET_18, SMALL)),
)
