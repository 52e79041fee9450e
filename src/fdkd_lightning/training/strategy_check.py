"""Check whether a trainer's strategy computes what DistillationModule means."""

from collections.abc import Collection, Mapping
from typing import Any

from lightning.pytorch import Trainer

REFUSED = {
    "DeepSpeedStrategy": "saves shards in place of the one file that test and export read",
    "ModelParallelStrategy": "counts the same samples once for each part of a split layer",
}


def strategy_names(trainer: Trainer) -> set[str]:
    """Return the class names of the trainer's strategy and of its bases.

    By name: the packages lightning and pytorch_lightning have classes of the same names.
    """
    return {kind.__name__ for kind in type(trainer.strategy).__mro__}


def check_module_strategy(
    trainer: Trainer, batch: Mapping[str, Any], trained_modalities: Collection[str]
) -> None:
    """Raise if the strategy would train, or save, something else than DDP does.

    FSDP splits the parameters of student, criterion and projector, which exist before it wraps
    them, and averages gradients as DDP does. Its units gather their parameters when they run, on
    all ranks at once; a rank that skips a network would be waited for.

    Args:
        trainer: The trainer.
        batch: An example of its batches.
        trained_modalities: Modalities of the networks that are trained.

    Raises:
        ValueError: If the strategy is DeepSpeed's or ``ModelParallelStrategy``, or FSDP with
            checkpoints of several files or with samples that lack a trained network's modality.

    Example:
        >>> trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        >>> check_module_strategy(trainer, {"visual": None}, ["visual"])
    """
    names = strategy_names(trainer)
    own = type(trainer.strategy).__name__
    for name in names & REFUSED.keys():
        raise ValueError(
            f"trainer.strategy is {own}, which {REFUSED[name]}: set strategy to ddp, or to fsdp "
            "where a student does not fit on one device"
        )
    if "FSDPStrategy" not in names:
        return
    kind = getattr(trainer.strategy, "_state_dict_type", "full")
    if kind != "full":
        raise ValueError(
            f"state_dict_type={kind!r} of {own} saves a folder, and test and export read one file: "
            "set it to 'full'"
        )
    if lacking := sorted({*batch.get("present", ())} & {*trained_modalities}):
        raise ValueError(
            f"samples may lack {', '.join(lacking)}, whose network is trained: a rank without such "
            f"samples skips it, and {own} waits for all ranks. Set strategy to ddp, or leave the "
            "modality out of data.optional_modalities"
        )
