"""``fdkd prepare``: decode a set's files, or say what there is to decode."""

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, get_loader

from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.data.preparation.coverage import CoverageError

HELP = """\
usage: fdkd prepare SET [--root FOLDER] [--dry-run] [ARGUMENT ...]

Decode the files of a set once, and write the manifest that says what became of each sample.
Training does the same when it begins; a run that was cut off goes on where it was.

SET is the name of a data module of fdkd_lightning.data (CREMAD, AVE, ...), the import path of one
of your own, or the configuration of a run, whose data are then prepared:

  fdkd prepare CREMAD --root data/cremad --dry-run
  fdkd prepare configs/cremad/distill_visual.yaml

With --dry-run nothing is written, and what is there and would be decoded is told.
fdkd prepare SET --help lists the set's other arguments (modalities, min_coverage, ...)."""


def prepare_set(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: What follows ``fdkd prepare``.
    """
    if not args or args[0] in ("-h", "--help"):
        print(HELP)
        raise SystemExit(0 if args else 2)
    name, *rest = args
    # Also a module in the current folder, as in the other commands.
    sys.path.insert(0, str(Path.cwd()))
    try:
        path, said = _data_of(Path(name)) if name.endswith((".yaml", ".yml")) else (name, {})
        kind = _class_of(path)
        parser = ArgumentParser(f"fdkd prepare {name}")
        parser.add_argument("--dry-run", action="store_true", help="only say what there is to do")
        parser.add_argument("--arguments", action="config", help="a file of them, YAML")
        own = parser.add_class_arguments(kind)
        config = parser.parse_args(["--arguments", json.dumps(said), *rest])
        made = parser.instantiate(config)
        report = kind(**{argument: made[argument] for argument in own}).prepare(config.dry_run)
    except (ValueError, OSError, CoverageError) as error:
        raise SystemExit(f"fdkd prepare: {error}") from error
    tense = "to decode" if config.dry_run else "decoded"
    print(f"{report}\n{report.decoded:,} files {tense}; manifest: {report.manifest}")


def _data_of(config: Path) -> tuple[str, dict[str, Any]]:
    """Class path and arguments of the data in a run's configuration."""
    content = get_loader("yaml")(config.read_text(encoding="utf-8"))
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, dict) or "class_path" not in data:
        raise ValueError(f"{config} has no data.class_path: give a run's complete configuration")
    return data["class_path"], data.get("init_args", {})


def _class_of(name: str) -> type[PairedDataModule]:
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module or "fdkd_lightning.data"), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"{name!r} is no class of fdkd_lightning.data, nor one that Python finds from here: "
            f"{error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, PairedDataModule)):
        raise ValueError(f"{name} is not made from files: only PairedDataModule's kind is prepared")
    return found
