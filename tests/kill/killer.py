"""Run commands in processes that are killed at a random moment, or while a file is written."""

import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KILLS = int(os.environ.get("FDKD_KILLS", "2"))
STUDY = Path(__file__).parents[1] / "study"


def _call(function: Callable[..., None], arguments: tuple[Any, ...], folder: str, log: str) -> None:
    """Call a function in a folder, in a session of its own and with its output in a file."""
    os.setsid()
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    sys.path[:0] = [folder, str(Path(__file__).parent)]
    tempfile.tempdir = os.environ["TMPDIR"] = str(Path(folder).parent / "temporary")
    function(*arguments)


class Killer:
    """Starts processes from one that has imported the package, and kills them.

    Args:
        folder: Their working folder.
        seed: Of the moments at which they are killed.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.log = folder.parent / "log"
        self.random = random.Random(seed)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(
            [f"fdkd_lightning.{room}.command" for room in ("training", "study", "export")]
        )
        self.seconds = 0.0
        self.torn = 0

    def finish(self, function: Callable[..., None], *arguments: Any) -> None:
        """Let a call finish; the first one says how long it takes."""
        if self.partial_files():
            # An empty one is taken for that of a running process until it is a second old.
            time.sleep(1.1)
        start = time.monotonic()
        process = self._start(function, arguments)
        process.join(300)
        self.seconds = self.seconds or time.monotonic() - start
        assert process.exitcode == 0, self.log.read_text()[-3000:]

    def end(self, function: Callable[..., None], *arguments: Any) -> tuple[int, str]:
        """Let a call end, also in an error; return its exit code and what it printed."""
        printed = self.log.stat().st_size if self.log.exists() else 0
        process = self._start(function, arguments)
        process.join(300)
        assert process.exitcode is not None, "it hangs"
        return process.exitcode, self.log.read_bytes()[printed:].decode()

    def kill(self, function: Callable[..., None], *arguments: Any) -> None:
        """Kill a call: every other time while it writes a file, else at any moment."""
        process = self._start(function, arguments)
        end = time.monotonic() + self.random.uniform(0.1, 1.0) * self.seconds
        at_write = self.random.random() < 0.5
        while process.is_alive() and (time.monotonic() < end or at_write):
            writing = at_write and time.monotonic() > end and self.partial_files()
            if writing:
                self.torn += 1
                break
            time.sleep(0.0005)
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()
        process.join()

    def partial_files(self) -> list[Path]:
        # Unlike rglob, it ignores folders that are gone meanwhile.
        walk = os.walk(self.folder)
        names = [(root, name) for root, _, files in walk for name in files]
        return [Path(root, n) for root, n in names if n.startswith(".") and n.endswith(".partial")]

    def _start(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> Any:
        process = self.context.Process(
            target=_call, args=(function, arguments, str(self.folder), str(self.log))
        )
        process.start()
        return process
