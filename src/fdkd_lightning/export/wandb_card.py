"""The model card and the page of a run on Weights & Biases."""

import html
import sys
from pathlib import Path
from typing import Any

from fdkd_lightning.export.card_run import results_section, training_section
from fdkd_lightning.export.run_facts import gather_facts
from fdkd_lightning.training.run.run_record import read_run


def log_card(folder: Path, page: Path) -> None:
    """Log the model card of a run's best weights, and its page, to the W&B run in progress.

    The card holds what is recorded about training and results; ``fdkd export`` writes the whole
    one. Without a W&B run, or before a fit, nothing is logged.

    Args:
        folder: The run's folder.
        page: The run's HTML page.
    """
    wandb: Any = sys.modules.get("wandb")
    if wandb is None or wandb.run is None:
        return
    logged = {}
    if page.is_file():
        logged["report"] = wandb.Html(page.read_text(encoding="utf-8"), inject=False)
    checkpoint, record = folder / "checkpoints/best.ckpt", read_run(folder)
    if checkpoint.is_file() and record is not None and record["fit"] is not None:
        facts = gather_facts(record["fit"]["config"], folder, checkpoint)
        parts = [f"# {folder.resolve().name}", *training_section(facts), *results_section(facts)]
        text = html.escape("\n\n".join(parts))
        logged["model_card"] = wandb.Html(f"<pre>{text}</pre>")
    if logged:
        wandb.run.log(logged)
