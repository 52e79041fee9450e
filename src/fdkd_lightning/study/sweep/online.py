"""Run a sweep on W&B's service: create it, and start an agent."""

import netrc
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from fdkd_lightning.study.sweep.sweep_file import read_yaml


def has_login() -> bool:
    """Return whether W&B finds an API key, and its mode is not an offline one.

    The key is in the environment (``WANDB_API_KEY``) or in the file of ``wandb login``.
    """
    if os.environ.get("WANDB_MODE", "online") not in ("online", "run", "shared"):
        return False
    if os.environ.get("WANDB_API_KEY"):
        return True
    files = [os.environ.get("NETRC"), Path.home() / ".netrc", Path.home() / "_netrc"]
    path = next((Path(file) for file in files if file and Path(file).is_file()), None)
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    if path is None or host is None:
        return False
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except netrc.NetrcParseError as error:
        raise ValueError(f"{path} is damaged ({error}): correct it, or give --local") from error


def run_on_service(path: Path, count: int | None = None) -> str:
    """Create the sweep, run an agent until the service has no more trials, and return its id.

    Args:
        path: The sweep's file; it is sent as it is, and may hold what does not run locally.
        count: Largest number of trials of this agent; None: no limit.

    Raises:
        ValueError: If the file holds no mapping.
    """
    # It takes a second to import.
    import wandb

    content: Any = read_yaml(path)
    where = {"entity": content.get("entity"), "project": content.get("project")}
    sweep_id: str = wandb.sweep(content, **where)
    wandb.agent(sweep_id, **where, count=count)
    return sweep_id
