"""Errors of the parser in at most five lines: key, value, remedy, and where it was given."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from fdkd_lightning.training.parser.config_source import (
    Setting,
    find_setting,
    find_value,
    shorten,
    syntax_error,
)
from fdkd_lightning.training.parser.exception_text import clip, with_place
from fdkd_lightning.training.parser.parser_message import Problem, find_problem
from fdkd_lightning.training.parser.suggestions import argument_names, class_with, near, near_class

CLASS_KEYS = ("class_path", "init_args")

MISSING_CLASS = re.compile(
    r"No (?P<module>[\w.]+) attribute (?P<name>\w+)|module '(?P<in>[\w.]+)' has no attribute "
    r"'(?P<attribute>\w+)'|No module named|Expected a dot import path string|"
    r"Import path \S+ does not correspond|Unable to import"
)
UNKNOWN = re.compile(
    r"Subcommand '\w+' does not accept option '(?P<a>[^']*)'|Key '(?P<b>[^']*)' is not expected|"
    r"Option '(?P<c>[^']*)' is not accepted|[Uu]nrecognized arguments: (?P<d>\S+)"
)
UNNAMED = ("torch.optim.Optimizer", "typing.Union")
"""Types of arguments, which the parser reports in the place of a class that nobody has named."""
DEFAULTS = {
    "optimizer": ("torch.optim", "SGD"),
    "lr_scheduler": ("torch.optim.lr_scheduler", "StepLR"),
}
"""Key -> module and class of an example."""
PLAIN = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "dict": "a mapping",
    "Mapping": "a mapping",
    "list": "a list",
    "tuple": "a list",
    "Sequence": "a list",
    "Iterable": "a list",
}
"""Words for the types of values in YAML."""


def explain(message: str, given: Sequence[str], names: Collection[str] = ()) -> str:
    r"""Return an error of the parser in at most five lines.

    Example:
        >>> import fdkd_lightning
        >>> kind = fdkd_lightning.KDLoss  # which the parser has imported
        >>> text = "Option 'temprature' is not accepted"
        >>> message = f"Problem with given class_path 'fdkd_lightning.KDLoss':\n  {text}"
        >>> print(explain(message, ["--model.criterion.temprature=3"]))
        model.criterion.temprature=3: KDLoss has no argument 'temprature': did you mean temperature?
          given on the command line
    """
    return clip(_explained(message, given, names))


def _explained(message: str, given: Sequence[str], names: Collection[str]) -> str:
    is_of_file = message.startswith("Problems parsing config") or "Unable to load config" in message
    if is_of_file and (fault := syntax_error(given)):
        return fault
    problem = find_problem(message)
    reason = problem.reasons[0]
    if unknown := UNKNOWN.search(reason):
        return _unknown(problem, next(x for x in unknown.groups() if x), given, names)
    if problem.keys[-1:] == ("config",) and not problem.class_path:
        return _config(problem)
    if not problem.keys and problem.class_path is None:
        return with_place(reason, given)
    if unloadable := re.match(r"Unable to load config (.*)", reason):
        setting = find_setting(given, problem.keys[:1])
        text = f"{problem.keys[0]}={unloadable[1]}: must be a mapping of arguments, or a YAML file"
        return _located(text, setting)
    setting = find_setting(given, problem.keys)
    if MISSING_CLASS.search(reason):
        return _class(problem, setting, given)
    value = problem.value
    if value is None or value.startswith(("Namespace(", "NestedArg(", "[Namespace(", "{", "[{")):
        head = ".".join(problem.keys) if setting is None else setting.text
    else:
        key = setting.name if setting is not None else ".".join(problem.keys)
        head = f"{key}={shorten(value)}"
    return _located(f"{head}: {_what(problem)}", setting)


def _unknown(problem: Problem, option: str, given: Sequence[str], names: Collection[str]) -> str:
    first = option.partition("=")[0].lstrip("-")
    if problem.class_path is None:
        return _unknown_key(option, first, given, names)
    name = first.split(".")[0]
    setting = find_setting(given, [*problem.keys, name])
    if problem.class_path in UNNAMED and not _names_class(problem.keys, given):
        return _located(_unnamed(problem.keys, first, setting), setting)
    kind = problem.class_path.rpartition(".")[2]
    remedy = near(name, CLASS_KEYS)
    if not remedy.startswith("did"):
        remedy = near(name, argument_names(problem.class_path))
    head = ".".join([*problem.keys, name]) if setting is None else setting.text
    what = f"{kind} has no argument {name!r}"
    return _located(f"{head}: {what}{f': {remedy}' if remedy else ''}", setting)


def _names_class(keys: Sequence[str], given: Sequence[str]) -> bool:
    found = find_setting(given, [*keys, "class_path"]) or find_setting(given, keys)
    return found is not None and not found.value.startswith(("{init_args", "init_args"))


def _unnamed(keys: Sequence[str], argument: str, setting: Setting | None) -> str:
    key = ".".join(keys)
    name = argument.split(".")[0]
    head = f"{key}.{name}" if setting is None else setting.text
    space, first = DEFAULTS.get(keys[-1], ("", ""))
    example = class_with(name, space, first) or "CLASS"
    value = "..." if setting is None or setting.text == setting.name else shorten(setting.value)
    return f"{head}: {key} has no class: name it, too: --{key}={example} --{key}.{name}={value}"


def _located(text: str, setting: Setting | None) -> str:
    return text if setting is None else f"{text}\n  given {setting.where}"


def _unknown_key(option: str, key: str, given: Sequence[str], names: Collection[str]) -> str:
    is_word = not option.startswith("-") and "=" not in option and "." not in key
    if is_word and find_setting(given, [key]) is None:
        return f"{option!r} is not an argument: write --KEY=VALUE"
    parts = key.split(".")
    tops = dict.fromkeys(name.split(".")[0] for name in names)
    if parts[0] in tops:
        below = [name for name in names if name.startswith(f"{parts[0]}.")]
        remedy = near(".".join(parts[:2]), below)
        remedy = remedy if remedy.startswith("did") else "fdkd COMMAND --help-all lists the keys"
        wrong = ".".join(parts[:2])
    else:
        remedy, wrong = near(parts[0], list(tops)), parts[0]
    for length in range(len(parts), 0, -1):
        setting = find_setting(given, parts[:length])
        if setting is not None:
            break
    head = option if setting is None else setting.text
    return _located(f"{head}: there is no key {wrong!r}: {remedy}", setting)


def _config(problem: Problem) -> str:
    reason = " ".join(problem.reasons[0].split())
    missing = re.search(r"File does not exist: '(?P<path>[^']*)'", reason)
    if missing is None:
        return f"config: {'; '.join(problem.reasons)}"
    path = Path(missing["path"])
    siblings = [other.name for other in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
    remedy = near(path.name, siblings)
    exists = next(parent for parent in path.parents if parent.exists())
    where = "" if exists == path.parent else f" (its folder neither; {exists} does)"
    text = f"config={str(path)!r}: this file does not exist{where}"
    return f"{text}: {remedy or 'give the path of a YAML file'}"


def _what(problem: Problem) -> str:
    reason = problem.reasons[0]
    if required := re.match(r"the following arguments are required: (?P<names>.*)", reason):
        kind = (problem.class_path or "it").rpartition(".")[2]
        return f"{kind} needs {required['names']}: add it to its init_args"
    if reason.startswith(("Not a valid subclass", "Expected an instantiatable class")):
        base = re.search(r"subclass of (\w+)|, but (\S+) is abstract", reason)
        kind = next((name for name in base.groups() if name), "it") if base else "it"
        text = f"does not name a {kind.rpartition('.')[2]}"
        wrong = re.search(r"'(\w+)':", problem.value or "")
        near_key = near(wrong[1], CLASS_KEYS) if wrong and wrong[1] not in CLASS_KEYS else ""
        meant = f" ({wrong[1]}: {near_key})" if wrong and near_key.startswith("did") else ""
        return f"{text}{meant}: write {{class_path: CLASS, init_args: {{...}}}}"
    return _types(problem) if reason.startswith("Expected a") else "; ".join(problem.reasons)


def _class(problem: Problem, setting: Setting | None, given: Sequence[str]) -> str:
    reason, path = problem.reasons[0], problem.value or ""
    if named := re.search(r"class_path[=:'\s]+(?P<path>[\w.]+)|^(?P<whole>[\w.]+)$", path):
        path = named["path"] or named["whole"]
    elif problem.class_path:
        path = problem.class_path
    if absent := re.search(r"^No (?P<module>[\w.]+) attribute (?P<name>\w+)", reason):
        path = f"{absent['module']}.{absent['name']}"
    elif wrong := re.search(
        r"Import path (\S+) does not correspond|dot import path string: (\S+)", reason
    ):
        path = wrong[1] or wrong[2]
    setting = (
        find_setting(given, [*problem.keys, "class_path"], path)
        or find_setting(given, problem.keys, path)
        or find_value(given, path)
        or setting
    )
    key = ".".join(problem.keys) if setting is None else setting.name.removesuffix(".class_path")
    if base := re.search(r"correspond to a subclass of (\w+)", reason):
        what = f"this is no {base[1]}: give the import path of one"
    else:
        missing = re.search(r"No module named '[^']*'", reason)
        what = f"{missing[0] if missing else 'there is no such class'}: {near_class(path)}"
    return _located(f"{key}={path}: {what}", setting)


def _types(problem: Problem) -> str:
    kinds: list[str] = []
    for reason in problem.reasons:
        if options := re.match(r"Expected a typing\.Literal\[(.*)\]$", reason):
            kinds += [x.strip().strip("'") for x in options[1].split(",")]
        elif kind := re.match(r"Expected an? <class '(?:[\w.]+\.)?(\w+)'>$", reason):
            kinds.append(PLAIN.get(kind[1], kind[1]))
        elif not reason.startswith("Expected a dot import path"):
            kinds.append(re.sub(r"^Expected an? ", "", reason))
    kinds = list(dict.fromkeys(kinds))
    meant = near(str(problem.value), [kind for kind in kinds if " " not in kind])
    text = f"must be {' or '.join(kinds)}"
    return f"{text}: {meant}" if meant.startswith("did") else text
