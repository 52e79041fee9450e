"""Where the numbers of a benchmark come from: command, machine, versions."""

from collections.abc import Sequence
from typing import Any

from fdkd_lightning.benchmark.machine import describe_machine
from fdkd_lightning.training.run.provenance import package_versions
from fdkd_lightning.training.run.redaction import redact_argument


def about_benchmark(arguments: Sequence[str]) -> dict[str, Any]:
    """Return command, machine and versions, for ``benchmark.json``.

    Args:
        arguments: The arguments of ``fdkd``.

    Example:
        >>> about_benchmark(["benchmark", "--cases=loss"])["command"]
        'fdkd benchmark --cases=loss'
    """
    return {
        "command": " ".join(["fdkd", *map(redact_argument, arguments)]),
        "machine": describe_machine(),
        "versions": package_versions(),
    }
