"""The arguments of ``fdkd fit`` that the command of a sweep file makes for a trial."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fdkd_lightning.study.sweep.parameter import Parameter

MACRO = re.compile(r"\$\{(\w+)\}")
ENVIRONMENT = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")
LOCAL = "the sweep runs locally as fdkd fit: see the command of configs/sweep.yaml"


def trial_arguments(content: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Return what follows ``fdkd``, as W&B's agent would start it.

    Args:
        content: The sweep's file.
        values: Parameter of the top level -> value; a mapping for nested ones.

    Raises:
        ValueError: If the command is not ``fdkd fit`` or has another macro.

    Example:
        >>> content = {"program": "fdkd", "command": ["${env}", "${program}", "fit", "${args}"]}
        >>> trial_arguments(content, {"model.optimizer.lr": 0.1})
        ['fit', '--model.optimizer.lr=0.1']
    """
    command = content.get("command")
    if not isinstance(command, list):
        raise ValueError(f"command={command!r} must be a list: {LOCAL}")
    macros = {
        "env": [],
        "program": [str(content.get("program"))],
        "args": [f"--{name}={value}" for name, value in values.items()],
        "args_no_equals": [part for k, v in values.items() for part in (f"--{k}", str(v))],
    }
    chunks: list[str] = []
    for given in command:
        # W&B leaves the name of a variable that is not set.
        chunk = ENVIRONMENT.sub(lambda m: os.environ.get(m[1], m[1]), str(given))
        macro = MACRO.fullmatch(chunk)
        if macro is None:
            chunks.append(chunk)
        elif macro[1] in macros:
            chunks += macros[macro[1]]
        else:
            known = ", ".join(f"${{{name}}}" for name in macros)
            raise ValueError(f"command: {chunk} is not known here, use {known}: {LOCAL}")
    if chunks[:2] != ["fdkd", "fit"]:
        raise ValueError(f"command begins with {' '.join(chunks[:2])!r}, not 'fdkd fit': {LOCAL}")
    return chunks[1:]


def nest(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values by the keys of the file: nested parameters as mappings.

    Example:
        >>> parameters = [Parameter(("data", "size"), "constant", {}), Parameter(("a.b",), "", {})]
        >>> nest(parameters, {"data.size": 1, "a.b": 2})
        {'data': {'size': 1}, 'a.b': 2}
    """
    nested: dict[str, Any] = {}
    for parameter in parameters:
        level = nested
        for key in parameter.path[:-1]:
            level = level.setdefault(key, {})
        level[parameter.path[-1]] = values[parameter.name]
    return nested
