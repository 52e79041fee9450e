"""Mutations of the shipped configurations and command lines, up to the beginning of fit."""

import contextlib
import copy
import io
import logging
import os
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from lightning.pytorch.cli import LightningCLI

from fdkd_lightning.cli import main
from fdkd_lightning.training.quiet_lightning import quiet_lightning

CASES = int(os.environ.get("FDKD_FUZZ_CASES", "24"))
ROOT = Path(__file__).parents[2]
CONFIGS = [
    path
    for path in sorted((ROOT / "configs").rglob("*.yaml"))
    if path.parent.name not in ("study", "trainer", "criterion", "control", "configs")
    and not path.stem.startswith("table")
    # They ask a hub for a tokenizer.
    and path.parent.name != "crisismmd"
]
FREE = ("teachers", "metrics", "transforms", "recipes")
"""Mappings whose keys are the user's."""

Path_ = tuple[str | int, ...]


class Case(NamedTuple):
    """A bad command line, and the words of which the error must hold one of each."""

    args: list[str]
    words: list[tuple[str, ...]]
    """Empty: the value may have a meaning to the parser, and only training can refuse it."""


class BuiltError(Exception):
    """Fit was about to begin."""


def leaves(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    entries = value.items() if isinstance(value, dict) else ()
    for key, entry in entries:
        yield (*path, key), entry
        yield from leaves(entry, (*path, key))


def parent(config: Any, path: Path_) -> Any:
    for step in path[:-1]:
        config = config[step]
    return config


def misspelt(draw: random.Random, name: str) -> str:
    i = draw.randrange(len(name))
    return draw.choice([name[:i] + name[i + 1 :], name[:i] + name[i] + name[i:], f"{name}x"])


def rename_key(draw: random.Random, config: Any) -> list[tuple[str, ...]]:
    paths = [p for p, _ in leaves(config) if len(p) < 2 or p[-2] not in FREE]
    path = draw.choice([p for p in paths if p[-1] not in ("class_path", "init_args")])
    new = misspelt(draw, str(path[-1]))
    parent(config, path)[new] = parent(config, path).pop(path[-1])
    return [(new,)]


def wrong_type(draw: random.Random, config: Any) -> list[tuple[str, ...]]:
    found = [p for p, x in leaves(config) if isinstance(x, int | float | dict)]
    path = draw.choice([p for p in found if p[-1] != "init_args"])
    value = draw.choice(["qux", {"zork": 1}])
    parent(config, path)[path[-1]] = value
    return [(str(path[-1]),), ("qux", "zork", "must be", "does not name", "has no argument")]


def wrong_class(draw: random.Random, config: Any) -> list[tuple[str, ...]]:
    path = draw.choice([p for p, _ in leaves(config) if p[-1] == "class_path"])
    module, _, name = parent(config, path)[path[-1]].rpartition(".")
    value = draw.choice([f"{module}.{name}qx", f"{module}qx.{name}", f"qx{name}", "json.loads"])
    parent(config, path)[path[-1]] = value
    return [(value, value.rpartition(".")[2])]


def missing_argument(draw: random.Random, config: Any) -> list[tuple[str, ...]]:
    arguments = config["model"]["init_args"]
    needed = ("student", "criterion", "student_modality", "model", "modality", "teachers")
    name = draw.choice([key for key in needed if key in arguments])
    del arguments[name]
    return [(name,)]


def wrong_modality(draw: random.Random, config: Any) -> list[tuple[str, ...]]:
    config["data"]["init_args"]["modalities"] = ["smell"]
    return [("smell",)]


def out_of_range(draw: random.Random, config: Any) -> list[tuple[str, ...]]:
    numbers = [
        p
        for p, x in leaves(config)
        if isinstance(x, int | float) and not isinstance(x, bool) and p[-1] != "seed_everything"
    ]
    path = draw.choice(numbers)
    parent(config, path)[path[-1]] = draw.choice([-1, float("nan"), 0])
    return []


MUTATIONS: list[Callable[[random.Random, Any], list[tuple[str, ...]]]] = [
    rename_key,
    wrong_type,
    wrong_class,
    missing_argument,
    wrong_modality,
    out_of_range,
]


def of_file(draw: random.Random, folder: Path) -> Case:
    config = copy.deepcopy(yaml.safe_load(draw.choice(CONFIGS).read_text()))
    words = draw.choice(MUTATIONS)(draw, config)
    path = folder / "mutated.yaml"
    path.write_text(yaml.safe_dump(config))
    return Case([f"--config={path}"], words and [*words, ("mutated.yaml", "needs ")])


def of_text(draw: random.Random, folder: Path) -> Case:
    text = draw.choice(CONFIGS).read_text()
    path = folder / "torn.yaml"
    cut = text.index("class_path") + draw.choice([4, 10])
    path.write_text(text[:cut] + draw.choice(["\n\t- x", ": [", '"']))
    return Case([f"--config={path}"], [("torn.yaml",)])


def of_command_line(draw: random.Random, folder: Path) -> Case:
    base = f"--config={draw.choice(CONFIGS)}"
    argument, words = draw.choice(
        [
            ("--trainer.max_epochz=3", ["max_epochz", "max_epochs"]),
            ("--trainer.max_epochs=soon", ["max_epochs", "soon"]),
            ("--modle.modality=audio", ["modle", "model"]),
            ("--model.modaliti=audio", ["modaliti", "modality"]),
            ("--model.optimizer.lrr=0.1", ["lrr", "lr"]),
            ("--model.optimizer.lr=fast", ["lr", "fast"]),
            ("--data.batch_size=many", ["batch_size", "many"]),
            ("--data.batch_size=-1", ["batch_size", "-1"]),
            ("--data.batch_sizes=4", ["batch_sizes", "batch_size"]),
            ("--config=configs/demo/distil_visual.yaml", ["distil_visual.yaml"]),
            ("--ckpt_path=nowhere.ckpt", ["ckpt_path", "nowhere.ckpt"]),
            ("--trainer.precision=bf17", ["precision", "bf17"]),
            ("--trainer.accelerator=tpuu", ["accelerator", "tpuu"]),
            ("--trainer.devices=-7", ["devices", "-7"]),
            ("--trainer.strategy=dpd", ["strategy", "dpd"]),
            ("--trainer.callbacks+=EarlyStoping", ["callbacks", "EarlyStopping"]),
            ("--trainer.logger=CSVLoger", ["logger", "CSVLogger"]),
            ("--seed_everything=x", ["seed_everything", "x"]),
            ("--overwrite=perhaps", ["overwrite", "perhaps"]),
            ("--checkpoint.mode=best", ["checkpoint.mode", "best"]),
            ("surplus", ["surplus"]),
        ]
    )
    return Case([base, argument], [(word,) for word in words])


def outcome(args: list[str]) -> tuple[str, str]:
    """``built``, ``rejected`` or ``obscure``, and what was printed on stderr."""
    shown = io.StringIO()
    with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(io.StringIO()):
        try:
            main(["fit", *args])
        except BuiltError:
            return "built", shown.getvalue()
        except SystemExit as error:
            return "rejected" if error.code in (1, 2) else "obscure", shown.getvalue()
    return "built", shown.getvalue()


def stop(cli: LightningCLI) -> None:
    raise BuiltError


@pytest.fixture(autouse=True)
def before_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(LightningCLI, "before_fit", stop, raising=False)
    monkeypatch.setattr(LightningCLI, "after_instantiate_classes", stop)
    monkeypatch.setattr(sys, "argv", ["fdkd"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JSONARGPARSE_DEBUG", raising=False)
    with quiet_lightning(logging.ERROR):
        yield


def test_a_bad_configuration_is_refused_in_five_lines(tmp_path: Path) -> None:
    draw = random.Random(0)
    obscure, silent = [], []
    for _ in range(CASES):
        make = draw.choice([of_file, of_file, of_file, of_text, of_command_line, of_command_line])
        case = make(draw, tmp_path)
        what, shown = outcome(case.args)
        error = shown[shown.find("error: ") :]
        text = f"{case.args} {case.words}: {what}\n{shown}"
        if what == "built":
            if case.words:
                silent.append(text)
        elif (
            what == "obscure"
            or not error.startswith("error: ")
            or len(error.splitlines()) > 5
            or not all(any(word in error for word in words) for words in case.words)
            or re.search(r"Traceback|Namespace\(|Union subtypes|usage:", error)
        ):
            obscure.append(text)
    assert not silent, "\n".join(silent)
    assert len(obscure) <= 0.02 * CASES, "\n".join(obscure)
