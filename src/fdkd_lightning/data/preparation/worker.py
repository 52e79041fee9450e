"""A process that decodes files, and may crash at one without ending the run."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from typing import Any

import cloudpickle

from fdkd_lightning.data.preparation.job import Job, fail, run_job
from fdkd_lightning.data.preparation.media_error import MediaError

READY = "ready"

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Environment of the processes: there is one for each core."""


class Worker:
    """A process that decodes one file at a time, and is replaced when it ends.

    It imports the codecs and the modules of the recipes, not what the main process has imported,
    and ends with the main process.

    Args:
        time_limit: Longest time for a file, seconds.
    """

    def __init__(self, time_limit: float) -> None:
        self.time_limit = time_limit
        self.stopped = False
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, job: Job) -> MediaError | None:
        """Decode a file as :func:`~fdkd_lightning.data.preparation.job.run_job` does.

        Returns:
            Its fault, which may be that the process crashed or took too long; None: there is none.

        Raises:
            RuntimeError: If no process can be started.
            OSError: If the prepared folder cannot be written.
        """
        if self.process is None:
            self.process = _start()
        process = self.process
        if self.stopped:
            process.kill()
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self.time_limit, end)
        timer.daemon = True
        timer.start()
        try:
            # Unlike pickle it sends the recipes of a notebook or of the main module, too.
            process.stdin.write(cloudpickle.dumps(job))
            process.stdin.flush()
            outcome = pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            self.close()
            return _ended(job, process.returncode, self.time_limit if late.is_set() else None)
        finally:
            timer.cancel()
        if isinstance(outcome, MediaError) or outcome is None:
            return outcome
        raise outcome

    def stop(self) -> None:
        """Let the current file be the last one, and do not wait for it; for another thread."""
        self.stopped = True
        if (process := self.process) is not None:
            process.kill()

    def close(self) -> None:
        """End the process, if there is one."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def serve() -> None:
    """Decode files in this process: jobs come from standard input, outcomes go to standard output.

    The function returns when the main process has ended.
    """
    # An interrupt from the keyboard is for the main process, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "wb") as outcomes:
        os.dup2(2, 1)  # what a codec may print
        _send(outcomes, READY)
        while True:
            try:
                job = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            except Exception as error:
                _send(outcomes, error)
                continue
            try:
                _send(outcomes, run_job(job))
            except Exception as error:
                error.add_note(traceback.format_exc())
                _send(outcomes, error)


def _send(stream: Any, outcome: object) -> None:
    try:
        content = pickle.dumps(outcome)
        pickle.loads(content)  # some exceptions fail only here
    except Exception:
        content = pickle.dumps(RuntimeError(f"{type(outcome).__name__}: {outcome}"))
    stream.write(content)
    stream.flush()


def _start() -> "subprocess.Popen[bytes]":
    # -P and the path of this process: a file of the current folder hides no module. There is no
    # main module to import, as there would be with multiprocessing.
    code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | ONE_THREAD,
    )
    assert process.stdout is not None
    try:
        ready = pickle.load(process.stdout) == READY
    except (EOFError, pickle.UnpicklingError):
        ready = False
    if not ready:
        process.kill()
        process.communicate()
        raise RuntimeError(
            f"a decoding process did not start (exit status {process.returncode}): its error is "
            "above; with workers=0 the main process decodes"
        )
    return process


def _ended(job: Job, status: int, time_limit: float | None) -> MediaError:
    if time_limit is not None:
        error = MediaError("timed-out", f"decoding took longer than {time_limit:g} s")
    else:
        named = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        error = MediaError("crashed", f"the decoding process ended with {named}")
    # The system kills processes when memory is short, which may be no fault of the file.
    fail(job, error, lasting=not (time_limit is None and status == -9))
    return error
