"""Where a value of the configuration was given: on the command line, or in which line of a file."""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

WIDTH = 80
"""Longer values are shortened."""

LARGEST = 10_000
"""Aliases can make a small file describe any number of values."""

CONFIG = ("-c", "--config")

COMMAND_LINE = "on the command line"

BRACKETS = str.maketrans("()", "[]")

LEVELS = ("init_args", "dict_kwargs")
"""Keys that the command line leaves out."""


class Setting(NamedTuple):
    """A key and its value, as given."""

    path: tuple[str, ...]
    value: str
    where: str

    @property
    def text(self) -> str:
        """The key, with its value unless that has keys itself."""
        is_mapping = re.match(r"[{\w]+: ?|\{", self.value) or self.value.startswith("- ")
        return self.name if is_mapping else f"{self.name}={shorten(self.value)}"

    @property
    def source(self) -> str:
        """The file, without the line, or the command line."""
        return self.where.rpartition(", line ")[0] or self.where

    @property
    def name(self) -> str:
        """The key as the command line spells it."""
        return ".".join(part for part in self.path if part not in LEVELS)


def find_setting(
    given: Sequence[str], keys: Sequence[str], value: str | None = None
) -> Setting | None:
    """Find where a key was given; the last one counts.

    Args:
        given: The arguments of the command line.
        keys: Parts of the key, the last one last; parts in between may be left out.
        value: Find only a key with this value.

    Example:
        >>> found = find_setting(["fit", "--model.optimizer.lr=0.1"], ["model", "lr"])
        >>> found.name, found.value, found.where
        ('model.optimizer.lr', '0.1', 'on the command line')
    """
    found = [
        setting
        for setting in _settings(given)
        if _leads_to(setting.path, keys)
        and (value is None or value in (setting.value, setting.value.strip("'\"")))
    ]
    exact = [setting for setting in found if setting.name.split(".") == [*keys]]
    best = exact or found
    return best[-1] if best else None


def find_value(given: Sequence[str], value: str) -> Setting | None:
    """Find the last key that was given this value."""
    same = [setting for setting in _settings(given) if setting.value.strip("'\"") == value]
    return same[-1] if same else None


def find_named(given: Sequence[str], name: str, value: str) -> list[Setting]:
    """Find the keys that a message names together with their value; several: it is ambiguous.

    Args:
        given: The arguments of the command line.
        name: The key, or its last parts.
        value: Its value, as Python or YAML spells it.

    Example:
        >>> given = ["fit", "--data.batch_size=0", "--model.width=0"]
        >>> [setting.name for setting in find_named(given, "batch_size", "0")]
        ['data.batch_size']
    """
    by_name: dict[str, list[Setting]] = {}
    for setting in _settings(given):
        if _leads_to(setting.path, name.split(".")):
            by_name.setdefault(setting.name, []).append(setting)
    # A later source replaces the value of an earlier one. An anchor's value has several keys.
    found = {
        setting.name if setting.where == COMMAND_LINE else setting.where: setting
        for settings in by_name.values()
        for setting in settings
        if setting.source == settings[-1].source and _parsed(setting.value) == _parsed(value)
    }
    return [*found.values()]


def _parsed(text: str) -> str:
    """Spell equal values alike: 1e-3 and 0.001, None and null, (1, 2) and [1, 2]."""
    text = text.strip("'\"")
    try:
        return repr(float(text))
    except ValueError:
        pass
    try:
        return repr(yaml.safe_load(re.sub(r"\bNone\b", "null", text).translate(BRACKETS)))
    except yaml.YAMLError:
        return repr(text)


def _leads_to(path: tuple[str, ...], keys: Sequence[str]) -> bool:
    parts = iter(path)
    return path[-1:] == tuple(keys[-1:]) and all(key in parts for key in keys)


def syntax_error(given: Sequence[str]) -> str | None:
    """Return file, line and fault of the first configuration that is not YAML; None: all are."""
    for path in (Path(value) for key, value in _options(given) if key in CONFIG):
        try:
            yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
            return f"config={path}{line}: {error.problem or error.context}: correct the YAML"
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            return f"config={path}: {error}: write the file as UTF-8"
        except OSError:  # reported by its own message
            continue
    return None


def shorten(text: str) -> str:
    r"""Return a text on one line, shortened.

    Example:
        >>> shorten("a\n  b"), len(shorten("x" * 200))
        ('a b', 80)
    """
    line = " ".join(text.split())
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 4]} ..."


def _options(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    for argument, following in itertools.zip_longest(given, given[1:], fillvalue=""):
        key, equals, value = argument.partition("=")
        if key.startswith("-"):
            yield key, value if equals else following


def _settings(given: Sequence[str]) -> Iterator[Setting]:
    for key, value in _options(given):
        if key in CONFIG:
            yield from _of_file(Path(value))
            continue
        path = tuple(key.lstrip("-").removesuffix("+").split("."))
        yield Setting(path, value, COMMAND_LINE)
        if value.startswith(("{", "[")):
            for part in _of_text(value):
                yield part._replace(path=path + part.path, where=COMMAND_LINE)


def _of_file(path: Path) -> Iterator[Setting]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):  # the parser reports it
        return
    for setting in _of_text(text):
        yield setting._replace(where=f"in {path}, {setting.where}")


def _of_text(text: str) -> Iterator[Setting]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:  # the parser reports it
        return
    waiting: list[tuple[tuple[str, ...], yaml.Node, int]] = [((), root, 1)] if root else []
    for _ in range(LARGEST):
        if not waiting:
            return
        path, node, line = waiting.pop(0)
        if path:
            value = text[node.start_mark.index : node.end_mark.index]
            value = re.sub(r"^&\S+\s+", "", value)
            value = node.value if isinstance(node, yaml.ScalarNode) else value
            yield Setting(path, value, f"line {line}")
        if isinstance(node, yaml.MappingNode):
            for key, entry in node.value:
                step = (*path, str(key.value).removesuffix("+"))
                waiting.append((step, entry, key.start_mark.line + 1))
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(path, entry, entry.start_mark.line + 1) for entry in node.value]
