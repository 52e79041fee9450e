"""The cause in an error of the parser, which wraps it in one message for each level of nesting."""

import re
from typing import NamedTuple

PREFIX = re.compile(r"^Type \S.* expects a function or a callable class: ")
GOT = re.compile(r"\.? Got value: (?P<value>.*)$", re.DOTALL)
NOISE = (
    "Expected a <class 'NoneType'>",
    "Does not validate against any of the Union subtypes",
    "Subtypes: ",
    "Errors:",
    "Given value type: ",
    "Subclass types expect one of:",
    "a class path (str)",
    "a dict with",
)
PATH = re.compile(r"Expected a path but .* either not accessible or invalid")
VAGUE = (
    "Expected a dot import path string",
    "Expected a",
    "Not a valid subclass of",
    "Expected an instantiatable class",
)


class Problem(NamedTuple):
    """The cause of an error.

    Args:
        keys: The keys that lead to it, outermost first.
        class_path: Class of the last key's parent, or the class that cannot be made.
        reasons: What is wrong; several are alternatives, none of which fits.
        value: The value, as far as the message gives it.
    """

    keys: tuple[str, ...]
    class_path: str | None
    reasons: tuple[str, ...]
    value: str | None


class _Leaf(NamedTuple):
    keys: tuple[str, ...]
    class_path: str | None
    text: str
    value: str | None
    is_callable: bool = False
    """Whether it is a callable class, which the value names and not a class path above."""


def find_problem(message: str) -> Problem:
    """Find the cause in a message: the innermost reason, or several that are alternatives.

    Example:
        >>> problem = find_problem('''Parser key "model":
        ...   Problem with given class_path 'mine.Net':
        ...     Parser key "width":
        ...       Expected a <class 'int'>. Got value: wide''')
        >>> problem.keys, problem.class_path, problem.reasons, problem.value
        (('model', 'width'), 'mine.Net', ("Expected a <class 'int'>",), 'wide')
    """
    leaves, values = _leaves(message)
    if not leaves:
        return Problem((), None, (message,), None)
    # The levels below a key tell more than the ways in which its value as a whole does not fit.
    depth = max(_depth(leaf) for leaf in leaves)
    deepest = [leaf for leaf in leaves if _depth(leaf) == depth]
    clear = [leaf for leaf in deepest if not leaf.text.startswith(VAGUE)]
    first = (clear or deepest)[0]
    same = [x for x in clear or deepest if x[:2] == first[:2]]
    reasons = tuple(dict.fromkeys(x.text for x in same))
    value = next((x.value for x in same if x.value is not None), values.get(first.keys))
    class_path = first.class_path
    if first.is_callable and (of_value := re.search(r"class_path='([^']*)'", value or "")):
        class_path = of_value[1]
    return Problem(first.keys, class_path, reasons, value)


def _depth(leaf: _Leaf) -> int:
    return 2 * len(leaf.keys) + (leaf.class_path is not None)


def _leaves(message: str) -> tuple[list[_Leaf], dict[tuple[str, ...], str]]:
    leaves: list[_Leaf] = []
    values: dict[tuple[str, ...], str] = {}
    # Indentation, key, class path.
    stack: list[tuple[int, str | None, str | None]] = []
    for line in filter(str.strip, message.splitlines()):
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if text.startswith("- "):
            text = text[2:]
            stack = [entry for entry in stack if entry[0] < indent]
            indent += 2
        else:
            stack = [entry for entry in stack if entry[0] <= indent]
        is_callable = PREFIX.match(text) is not None
        text = PREFIX.sub("", text)
        while text:
            if found := re.match(r'Parser key "(?P<key>[^"]*)":?\s*', text):
                stack.append((indent, found["key"], None))
            elif found := re.match(r"Problem with given class_path '(?P<path>[^']*)':?\s*", text):
                stack.append((indent, None, found["path"]))
            else:
                break
            text = text[found.end() :]
            is_callable |= PREFIX.match(text) is not None
            text = PREFIX.sub("", text)
        keys = tuple(part for _, key, _ in stack if key for part in key.split("."))
        # A class path counts from the last key on.
        innermost = next((entry for entry in reversed(stack)), (0, None, None))
        parents = [path for _, _, path in stack if path is not None]
        class_path = innermost[2] or (parents[-1] if parents else None)
        if text.startswith("Given value: "):
            values.setdefault(keys, GOT.sub("", text.removeprefix("Given value: ")))
        elif text and not text.startswith(NOISE) and not PATH.fullmatch(text):
            got = GOT.search(text)
            reason = text[: got.start()] if got else text
            leaves.append(
                _Leaf(keys, class_path, reason, got and GOT.sub("", got["value"]), is_callable)
            )
    return leaves, values
