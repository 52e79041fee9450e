"""Description of the machine that numbers were measured on."""

import os
import platform
from pathlib import Path
from typing import Any

import torch


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, threads, GPU and system, for ``benchmark.json``.

    Example:
        >>> describe_machine()["threads"] == torch.get_num_threads()
        True
    """
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "system": f"{platform.system()} {platform.machine()}",
        # Others' work: with more than the cores, times are of a busy machine.
        "load": None if load is None else round(load, 2),
    }


def machine_text(machine: dict[str, Any]) -> str:
    """Return the description in one line.

    Example:
        >>> machine = {"processor": "Xeon", "cores": 2, "threads": 2, "gpu": None, "load": 0.5}
        >>> machine_text(machine)
        'Xeon, 2 cores, 2 threads, load 0.5 at the start'
    """
    parts = [machine["processor"], f"{machine['cores']} cores", f"{machine['threads']} threads"]
    if machine["gpu"]:
        parts.append(machine["gpu"])
    if machine["load"] is not None:
        parts.append(f"load {machine['load']} at the start")
    return ", ".join(parts)


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text(errors="ignore").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
