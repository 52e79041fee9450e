"""Take private things out of what is published: paths, user and host names, secrets."""

import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import yaml

REDACTED = "[redacted]"
"""Text in the place of a secret."""

_SECRET = (
    r"[\w.-]*(?:secret|passw(?:or)?d|passphrase|credential|api[_-]?key|access[_-]?key|"
    r"private[_-]?key)[\w-]*|(?:[\w.-]*[_.-])?(?:token|auth|authorization|cookie|pwd)"
)
_SECRET_KEY = re.compile(_SECRET, re.IGNORECASE)
# Tokens of a text, which are settings.
_TEXT_TOKEN = re.compile(
    r".*\b_*(?:pad|cls|sep|mask|unk|[be]os|class|start|end|image|audio|video|text|special)_token",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    rf"(?<![\w.-])((?:{_SECRET})[\"']?\s*[=:]\s*[\"']?)([^\s\"',;&}}\]]+)", re.IGNORECASE
)
_TOKENS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"
    r"|sk-[\w-]{16,}|AKIA[A-Z0-9]{12,}|xox[abprs]-[\w-]{10,}|eyJ[\w-]+\.[\w-]+\.[\w-]+)"
)
_ADDRESS = re.compile(r"\b[\w.+-]+@(?:[a-z][\w-]*(?:\.[\w-]+)+|[\w.-]+(?=:[~/\w]))", re.IGNORECASE)
_URL = r"(?P<url>\b[a-z][a-z0-9+.-]*://[^\s\"'<>`|]+)"
_POSIX = r"(?P<posix>(?<![\w./*~$})\]\\-])(?:/[^\s/\"'`,;:()<>|\[\]{}]+){2,}/?)"
_WINDOWS = r"(?P<windows>\b[a-z]:[\\/]+[^\s\"'<>|,;]+|(?<![\w\\])\\\\[\w.$-]+\\+[^\s\"'<>|,;]+)"
_PLACES = re.compile(f"{_URL}|{_WINDOWS}|{_POSIX}", re.IGNORECASE)
_HOMES = re.compile(r"(?:/home|/Users|[A-Za-z]:[\\/]+Users)[\\/]+[^\\/]+[\\/]*")
_SHARED_USERS = {"root", "user", "admin", "ubuntu", "home", "users", "nobody"}
"""Names that state nothing about a person."""


def redact(value: Any) -> Any:
    """Take paths, user and host names, and secrets out of plain values that are published.

    An absolute path becomes its last part; a URL loses user, password, query and fragment, and a
    ``file://`` all but its last part; ``[redacted]`` replaces the values of keys such as ``token``
    or ``api_key``, tokens of known forms, the values of such environment variables, and addresses.

    Example:
        >>> redact({"root": "/home/me/data", "table": "lists/a.csv", "sep": "/"})
        {'root': 'data', 'table': 'lists/a.csv', 'sep': '/'}
        >>> redact({"url": "https://me:1234@example.org/a.zip?key=5", "hf_token": "abc"})
        {'url': 'https://example.org/a.zip', 'hf_token': '[redacted]'}
    """
    if isinstance(value, Mapping):
        return {
            redact(key): REDACTED if _is_secret(key) and isinstance(entry, str) else redact(entry)
            for key, entry in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(entry) for entry in value]
    if isinstance(value, PurePath):
        return redact(str(value))
    return _redact_text(value) if isinstance(value, str) else value


def redact_argument(argument: str) -> str:
    """Redact an argument of a command line.

    Example:
        >>> redact_argument("--data.root=/home/me/data")
        '--data.root=data'
        >>> redact_argument('--trainer.logger={"save_dir": "/home/me/logs"}')
        '--trainer.logger={"save_dir": "logs"}'
    """
    key, equals, value = argument.partition("=")
    if not equals:
        key, value = "", argument
    if _is_secret(key.rpartition(".")[2]):
        return f"{key}{equals}{REDACTED}"
    if value.startswith(("[", "{")):
        try:
            return f"{key}{equals}{json.dumps(redact(yaml.safe_load(value)))}"
        except (yaml.YAMLError, TypeError):
            pass  # a text that only looks like a list or mapping
    return f"{key}{equals}{_redact_text(value)}"


def _is_secret(key: Any) -> bool:
    return (
        isinstance(key, str)
        and _SECRET_KEY.fullmatch(key.strip("-")) is not None
        and _TEXT_TOKEN.fullmatch(key) is None
    )


def _redact_text(text: str) -> str:
    text = _without_home(text)
    for path in (PurePosixPath(text), PureWindowsPath(text)):
        if (path.is_absolute() or text.startswith("~")) and "\n" not in text:
            text = path.name or text
            break
    text = _PLACES.sub(_place, text)
    text = _TOKENS.sub(REDACTED, _ADDRESS.sub(REDACTED, text))
    text = _ASSIGNED.sub(_assigned, text)
    for secret in _secrets():
        text = text.replace(secret, REDACTED)
    for pattern in _names():
        text = pattern.sub(REDACTED, text)
    return text


def _without_home(text: str) -> str:
    home = os.path.expanduser("~")  # unlike Path.home, defined for a user without an entry
    if len(home) > 1:
        text = re.sub(rf"(?<![\w.]){re.escape(home)}(?![\w.-])", "~", text)
    return "~" if _HOMES.fullmatch(text) else text


def _place(found: re.Match[str]) -> str:
    """A URL without user, query and fragment; the last part of a path."""
    text = found[0]
    if found["windows"]:
        return "~" if _HOMES.fullmatch(text) else PureWindowsPath(text).name
    if found["posix"]:
        return "~" if _HOMES.fullmatch(text) else PurePosixPath(text).name
    try:
        parts = urlsplit(text)
    except ValueError:
        return REDACTED
    if parts.scheme.lower() == "file":
        return PurePosixPath(parts.path).name
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _assigned(found: re.Match[str]) -> str:
    name = re.match(r"[\w.-]+", found[1])
    # A text token, or a key whose value is on the next lines.
    kept = ("null", "None", REDACTED[:-1])
    if name is None or _TEXT_TOKEN.fullmatch(name[0]) or found[2] in kept:
        return found[0]
    return f"{found[1]}{REDACTED}"


def _secrets() -> Iterator[str]:
    """The values of environment variables that hold secrets."""
    for name, value in os.environ.items():
        if len(value) >= 8 and re.search(r"(?:TOKEN|KEY|SECRET|PASSW|CREDENTIAL)", name.upper()):
            yield value


def _names() -> Iterator[re.Pattern[str]]:
    """The user's name as a part of a path, and this machine's name."""
    users = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME")}
    users.add(Path(os.path.expanduser("~")).name)
    for user in users:
        if len(user) > 2 and user.lower() not in _SHARED_USERS:
            yield re.compile(rf"(?<=[/\\]){re.escape(user)}(?![\w.-])|^{re.escape(user)}(?=[/\\])")
    host = socket.gethostname()
    for name in dict.fromkeys((host, host.partition(".")[0])):
        # A name such as "audio" is a word, too.
        if len(name) > 4 and re.search(r"[\d.-]", name) and name != "localhost":
            yield re.compile(rf"(?<![\w.]){re.escape(name)}(?![\w])")
