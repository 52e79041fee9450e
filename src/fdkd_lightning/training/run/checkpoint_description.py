"""Description of a checkpoint: its hash, and when and how well its weights were validated."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from fdkd_lightning.training.run.provenance import sha256

RECORD_KEY = "RunRecord"
"""Key of the state that a :class:`~fdkd_lightning.training.run.run_record.RunRecord` keeps in
a checkpoint."""


def describe_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """Return a checkpoint's ``sha256``, ``epoch``, ``step`` and ``validation``.

    The last three are None where the file does not hold them: a plain state dict, a file with
    pickled objects (which are not unpickled), or weights that were not validated.
    """
    mapped = zipfile.is_zipfile(checkpoint)  # torch maps no file of its older format
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError:
        content = {}
    content = content if isinstance(content, dict) else {}
    step = content.get("global_step")
    callbacks = content.get("callbacks") or {}
    validation = callbacks.get(RECORD_KEY, {}).get("validation")
    if validation is not None and validation["step"] != step:
        validation = None  # of an earlier step, and so of other weights
    return {
        "sha256": sha256(checkpoint),
        "epoch": content.get("epoch"),
        "step": step,
        "validation": validation,
    }
