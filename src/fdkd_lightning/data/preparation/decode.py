"""Decode files in parallel, such that an interrupted run can be continued."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue

from tqdm import tqdm

from fdkd_lightning.data.preparation.job import Job, run_job
from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.worker import Worker
from fdkd_lightning.files.atomic_write import remove_partial_files

FILES_PER_PROCESS = 16
"""Decoding this many files takes less time than starting one more process."""

TIME_LIMIT = 1800.0
"""Longest time to decode a file, seconds."""

Outcome = tuple[Path, MediaError | None]


def decode(
    jobs: Sequence[Job], workers: int, progress: bool, time_limit: float = TIME_LIMIT
) -> dict[Path, MediaError]:
    """Decode files and write their compact forms.

    With 0 ``workers`` the main process decodes, and a decoder that crashes ends it.

    Returns:
        Target -> fault, for the files that cannot be decoded.

    Raises:
        OSError: If a compact form cannot be written.
        RuntimeError: If no process can be started.
    """
    failures = {}
    processes = min(workers, 1 + len(jobs) // FILES_PER_PROCESS)
    outcomes = _parallel(jobs, processes, time_limit) if workers else _serial(jobs)
    with tqdm(total=len(jobs), desc="Decoding", unit="file", disable=not progress) as bar:
        for target, failure in outcomes:
            bar.update()
            if failure is not None:
                failures[target] = failure
    return failures


def make_folders(folder: Path) -> None:
    """Create the 256 folders of the compact forms, and remove partial files of killed runs."""
    for i in range(256):
        (folder / f"{i:02x}").mkdir(parents=True, exist_ok=True)
        remove_partial_files(folder / f"{i:02x}")


def _serial(jobs: Sequence[Job]) -> Iterator[Outcome]:
    for job in jobs:
        yield job.target, run_job(job)


def _parallel(jobs: Sequence[Job], processes: int, time_limit: float) -> Iterator[Outcome]:
    """Decode with a thread for each process, which hands it one file after the other."""
    waiting, lock = iter(jobs), threading.Lock()
    outcomes: SimpleQueue[Outcome | BaseException | None] = SimpleQueue()
    crew = [Worker(time_limit) for _ in range(processes)]

    def attend(worker: Worker) -> None:
        try:
            while True:
                with lock:
                    job = next(waiting, None)
                if job is None:
                    break
                outcomes.put((job.target, worker.run(job)))
        except BaseException as error:
            outcomes.put(error)
        finally:
            worker.close()
            outcomes.put(None)

    threads = [threading.Thread(target=attend, args=(worker,), daemon=True) for worker in crew]
    for thread in threads:
        thread.start()
    running = processes
    try:
        while running:
            outcome = outcomes.get()
            if outcome is None:
                running -= 1
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                yield outcome
    finally:
        with lock:
            waiting = iter(())
        for worker in crew:
            worker.stop()
        for thread in threads:
            thread.join()
