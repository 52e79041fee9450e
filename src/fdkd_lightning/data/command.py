"""``fdkd prepare``: decode the files of a data set, or report what is to be decoded."""

import gc
import json
import sys
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from importlib import import_module
from inspect import isabstract, signature
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, get_loader
from yaml import YAMLError

from fdkd_lightning.data.paired_files import PairedFiles
from fdkd_lightning.data.preparation.coverage import (
    CoverageError,
    CoverageReport,
    check_coverage,
)
from fdkd_lightning.files.read_file import read_text

HELP = """\
usage: fdkd prepare SET [--root FOLDER] [--dry-run] [ARGUMENT ...]

Decode the files of a data set once, and write a manifest with the status of each sample.
Training does the same at its start. An interrupted run is continued.

SET is one of:
  - the name of a data module of fdkd_lightning.data (CREMAD, AVE, ...),
  - the import path of a data module of your own,
  - the configuration of a run, whose data set is then prepared.

Examples:
  fdkd prepare CREMAD --root data/cremad --dry-run
  fdkd prepare configs/cremad/distill_visual.yaml

With --dry-run nothing is written: the command reports which files exist and would be decoded, and
fails where the run itself would, as far as this can be known without decoding.

Files whose size or modification time changed are decoded again. --compare=content compares hashes
instead, for copies that do not keep the time; give the runs --data.compare=content too.
fdkd prepare SET --help lists the other arguments (modalities, min_coverage, ...)."""


def prepare_set(args: Sequence[str], parser_class: type[ArgumentParser] = ArgumentParser) -> None:
    """Run ``fdkd prepare``.

    Raises:
        SystemExit: If the arguments are invalid or the data set cannot be prepared; also after the
            help.
    """
    if not args or args[0] in ("-h", "--help"):
        print(HELP)
        raise SystemExit(0 if args else 2)
    name, *rest = args
    # Modules in the current folder can be imported, as in the other commands, after all others: a
    # file there must not replace a library's.
    sys.path.append(str(Path.cwd()))
    try:
        report, is_done = _prepare(name, rest, parser_class)
    except CoverageError as error:
        print(error.report)  # whole: an error has a few lines
        raise SystemExit(f"fdkd prepare: {error}") from error
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        raise SystemExit(f"fdkd prepare: {error}") from error
    finally:
        gc.enable()
    done = f"decoded; manifest: {report.manifest}"
    print(f"{report}\n{report.decoded:,} files {done if is_done else 'to decode'}")


def _prepare(
    name: str, args: Sequence[str], parser_class: type[ArgumentParser]
) -> tuple[CoverageReport, bool]:
    """Return the coverage, and whether more than a dry run was made."""
    path, defaults = _data_of(Path(name)) if name.endswith((".yaml", ".yml")) else (name, {})
    keys = [arg[2:].partition("=")[0].partition(".")[0] for arg in args if arg[:2] == "--"]
    data_class = _files_of(path, {*keys, *defaults}) or _class_of(path)
    parser = parser_class(f"fdkd prepare {name}", allow_abbrev=False)
    parser.add_argument("--dry-run", action="store_true", help="only report what is to be done")
    parser.add_argument("--arguments", action="config", help="a YAML file of arguments")
    names = parser.add_class_arguments(data_class)
    config = parser.parse_args(["--arguments", json.dumps(defaults), *args])
    values = parser.instantiate(config)
    data = data_class(**{argument: values[argument] for argument in names})
    if config.dry_run:
        # Hundreds of thousands of samples are made and kept until this function ends: collections
        # of cycles among them find nothing, and take a third of the time.
        gc.disable()
    report = data.prepare(config.dry_run)
    if config.dry_run:
        check_coverage(report, data.min_coverage)
    return report, not config.dry_run


def _data_of(config: Path) -> tuple[str, dict[str, Any]]:
    """Return class path and arguments of the data module in the configuration of a run."""
    try:
        content = get_loader("yaml")(read_text(config))
    except YAMLError as error:
        raise ValueError(f"{config} is not YAML: {' '.join(str(error).split())}") from error
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, dict) or "class_path" not in data:
        raise ValueError(
            f"{config} has no data.class_path: pass the complete configuration of a run"
        )
    return data["class_path"], data.get("init_args") or {}


def _files_of(name: str, arguments: Collection[str]) -> type[PairedFiles] | None:
    """Return the files of a data set of the package, if that has them apart from its data module.

    They need no torch, which takes seconds and more memory than hundreds of thousands of samples.
    Other arguments, as of loaders, are those of the data module, which also has the help.
    """
    module, _, attribute = name.rpartition(".")
    if module not in ("", "fdkd_lightning", "fdkd_lightning.data"):
        return None
    found: type[PairedFiles] | None = getattr(
        import_module("fdkd_lightning.data.sets"), f"{attribute}Files", None
    )
    known = {"dry-run", *signature(found).parameters} if found is not None else ()
    return found if {*arguments} <= {*known} else None


def _class_of(name: str) -> type[PairedFiles]:
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module or "fdkd_lightning.data"), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{name!r} is neither a class of fdkd_lightning.data nor an importable class "
            f"({error}).{_sets(name)}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, PairedFiles)):
        raise ValueError(f"{name} needs no preparation: it is not a PairedDataModule.{_sets(name)}")
    return found


def _sets(name: str) -> str:
    """Name the data sets that can be prepared, the most similar to a name first."""
    public = import_module("fdkd_lightning.data")
    names = {
        "".join(filter(str.isalnum, set_name.lower())): set_name
        for set_name in public.__all__
        if isinstance(found := getattr(public, set_name), type)
        and issubclass(found, PairedFiles)
        and not isabstract(found)
    }
    wanted = "".join(filter(str.isalnum, name.lower()))
    near = [wanted] if wanted in names else get_close_matches(wanted, names, n=2)
    meant = f" Did you mean {' or '.join(names[text] for text in near)}?" if near else ""
    return f"{meant} The sets are {', '.join(names.values())}"
