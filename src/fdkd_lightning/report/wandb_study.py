"""A study's table and figures on Weights & Biases."""

from pathlib import Path
from typing import Any

from fdkd_lightning.files.read_file import csv_rows, read_json
from fdkd_lightning.report.render import PAGE
from fdkd_lightning.study.wandb_run import is_offline, run_id

TABLES = {"results": "results.csv", "differences": "differences.csv"}


def log_study(folder: Path) -> None:
    """Log tables, figure and page of a study as a W&B run of its own, of job type ``study``.

    A study that names no W&B project is left alone. A repeated study replaces the run.

    Args:
        folder: Folder of a study whose report is written.
    """
    results = read_json(folder / "results.json", "start the study again")
    project = results.get("wandb")
    if project is None:
        return
    # It takes a second to import.
    import wandb

    name = folder.resolve().name
    run = wandb.init(
        project=project,
        name=name,
        id=run_id(name),
        job_type="study",
        tags=[name[:64]],
        config=results["study"],
        dir=folder,
        mode="offline" if is_offline() else None,
        resume="allow",
    )
    logged: dict[str, Any] = {}
    for key, file in TABLES.items():
        if (folder / file).is_file():
            header, *rows = [cells for _, cells in csv_rows(folder / file)]
            logged[key] = wandb.Table(columns=[*header], data=rows)
    if (folder / "table.png").is_file():
        logged["scores"] = wandb.Image(str(folder / "table.png"))
    if (folder / PAGE).is_file():
        logged["report"] = wandb.Html((folder / PAGE).read_text(encoding="utf-8"), inject=False)
    run.log(logged)
    run.finish()
