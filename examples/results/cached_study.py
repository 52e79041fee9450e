"""A study with teachers that run in each step, and with cached ones: the same table, two times.

Usage: python examples/results/cached_study.py [--key=value ...]
Runs configs/study/watch_demo.yaml twice from the beginning; arguments override its keys. Writes
cached_study.md into examples/results.
"""

import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any

import yaml

from fdkd_lightning.benchmark.machine import describe_machine, machine_text
from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.study.command import study
from fdkd_lightning.study.plan import Study, read_study
from fdkd_lightning.study.planned_run import is_config
from fdkd_lightning.study.results import read_results, scores

HERE = Path(__file__).parent
STUDY = "configs/study/watch_demo.yaml"
FOLDER = Path("runs/study/cached_study")


def main(overrides: list[str]) -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    overlay = FOLDER / "cached.yaml"
    overlay.write_text(yaml.safe_dump({"methods": cached_methods(read_study(STUDY, overrides))}))
    seconds = {}
    for name, more in (("live", []), ("cached", [f"--config={overlay}"])):
        start = time.monotonic()
        study([STUDY, *overrides, *more, f"--folder={FOLDER / name}"])
        seconds[name] = time.monotonic() - start
    with atomic_write(HERE / "cached_study.md", "w") as file:
        file.write(page(seconds))


def cached_methods(plan: Study) -> dict[str, Any]:
    """The methods, of which those with teachers read them from caches."""
    students = [direction.student for direction in plan.directions.values()]
    methods = {}
    for name, method in plan.methods.items():
        paths = [Template(a).substitute(student=students[0]) for a in method.args if is_config(a)]
        models = [yaml.safe_load(Path(path).read_text())["model"]["init_args"] for path in paths]
        cache = [f"--model.teacher_cache={FOLDER / 'teacher_cache'}"]
        has_teachers = any("teachers" in model for model in models)
        methods[name] = asdict(method) | {"args": method.args + (cache if has_teachers else [])}
    return methods


def page(seconds: dict[str, float]) -> str:
    live, cached = (scores(*read_results(FOLDER / name)) for name in ("live", "cached"))
    runs = sum(len(values) for column in live.values() for values in column.values())
    same = sum(
        live[key][method][i] == cached[key][method][i]
        for key in live
        for method in live[key]
        for i in range(len(live[key][method]))
    )
    lines = [
        "# A study with live and with cached teachers",
        "",
        f"`python examples/results/cached_study.py`: `{STUDY}` from the beginning, teachers and",
        "caches included.",
        "",
        f"Machine: {machine_text(describe_machine())}.",
        "",
        "| teachers | seconds |",
        "|---|---|",
        *(f"| {name} | {value:.0f} |" for name, value in seconds.items()),
        "",
        f"**Of {runs} test accuracies {same} are the same bit by bit.**",
        "",
        "| method | direction | live, % per seed | cached, % per seed |",
        "|---|---|---|---|",
    ]
    for (direction, _), column in live.items():
        for method, values in column.items():
            other = cached[direction, _][method]
            cells = (" ".join(f"{100 * x:.2f}" for x in part) for part in (values, other))
            lines.append(f"| {method} | {direction} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main(sys.argv[1:])
