"""Decoding the files of a set once: in parallel, and so that a killed run goes on where it was."""

import functools
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock
from joblib import Parallel, delayed, parallel_config
from tqdm import tqdm

from fdkd_lightning.data.preparation.coverage import Report, check_coverage, make_report
from fdkd_lightning.data.preparation.manifest_file import Row, manifest_name, write_manifest
from fdkd_lightning.data.preparation.media import MediaError, check_file
from fdkd_lightning.data.preparation.recipe import MediaRecipe, Part, Recipe
from fdkd_lightning.data.preparation.store import require_folder, whole_file
from fdkd_lightning.data.preparation.table import Sample
from fdkd_lightning.ops.checks import check_range

FILES_PER_PROCESS = 16
"""So many decode sooner than one more process starts, which imports torch."""


class _Job(NamedTuple):
    """A compact form that is not there yet."""

    recipe: MediaRecipe
    source: Path
    part: Part
    target: Path


def prepare(
    samples: Sequence[Sample],
    root: Path,
    folder: Path,
    recipes: Mapping[str, Recipe],
    workers: int | None = None,
    min_coverage: float = 0.9,
    dry_run: bool = False,
    progress: bool = True,
) -> Report:
    """Decode what is not decoded yet, and write the manifest.

    A compact form lies in a folder named for its recipe, under a name made from its
    source and part: another recipe or table finds what it shares and mixes with nothing else.
    It gets that name when it is complete. So a run that was killed leaves nothing to mend, and the
    next goes on. A file that failed is tried again once it is there, or changed; to decode others
    anew after a change, delete the folder.

    Args:
        samples: All of the set, checked.
        root: The sources' folder.
        folder: The prepared form's; it is made.
        recipes: Modality -> how it is decoded; other modalities of the samples are left out.
        workers: Processes; None: one for each CPU.
        min_coverage: Least share of each split's samples that must be there.
        dry_run: Write nothing, and only look whether the files are there.
        progress: Show a progress bar.

    Returns:
        What is there. Its ``manifest`` has a row per sample, in their order: id, split, label, a
        compact form (or text) per modality, status and reason.

    Raises:
        ValueError: If a source is a link to outside the root.
        CoverageError: If less is there; the manifest is written.
        OSError: If the folder cannot be written.
    """
    check_range("min_coverage", min_coverage, 0, 1)
    if workers is not None:
        check_range("workers", workers, 1)
    media = {name: recipe for name, recipe in recipes.items() if isinstance(recipe, MediaRecipe)}
    jobs, failures = _survey(samples, root, folder, media)
    tried: dict[Path, MediaError] = {}
    if dry_run:
        tried = {job.target: failure for job in jobs if (failure := _look(job)) is not None}
    elif jobs:
        require_folder(folder)
        # Another run may be doing the same, and its unfinished files are not to be cleared away.
        with FileLock(folder / ".lock"):
            jobs, failures = _survey(samples, root, folder, media)
            for recipe in media.values():
                _make_folders(folder / _folder(recipe))
            tried = _decode(jobs, workers or os.cpu_count() or 1, progress)
    failures |= tried
    rows = [_row(sample, folder, recipes, failures) for sample in samples]
    manifest = folder / manifest_name(samples, recipes)
    if not dry_run:
        write_manifest(manifest, rows, list(recipes))
    report = make_report(manifest, samples, rows, len(jobs) - len(tried))
    if not dry_run:
        check_coverage(report, min_coverage)
    return report


def _folder(recipe: MediaRecipe) -> str:
    kind = type(recipe).__name__.removesuffix("Recipe").lower()
    return f"{kind}-{recipe.fingerprint}"


def _compact(modality: str, recipe: MediaRecipe, sample: Sample) -> str:
    """A compact form's path, below the prepared folder."""
    source = (sample.sources[modality], *_part(modality, sample))
    name = hashlib.sha256(repr(source).encode()).hexdigest()[:24]
    # Hundreds of thousands in one folder are slow on many file systems.
    return f"{_folder(recipe)}/{name[:2]}/{name}{recipe.suffix}"


def _part(modality: str, sample: Sample) -> Part:
    return Part(sample.start, sample.duration, sample.members.get(modality, ""))


def _survey(
    samples: Sequence[Sample], root: Path, folder: Path, media: Mapping[str, MediaRecipe]
) -> tuple[list[_Job], dict[Path, MediaError]]:
    """What is to be decoded, each once, in the samples' order; and what is known to fail."""
    resolve = functools.lru_cache(4096)(Path.resolve)
    top = root.resolve()
    jobs: dict[Path, _Job] = {}
    failures: dict[Path, MediaError] = {}
    for modality, recipe in media.items():
        there = {path.name for path in (folder / _folder(recipe)).glob("??/*")}
        for sample in samples:
            if modality not in sample.sources or sample.fault:
                continue
            target = folder / _compact(modality, recipe, sample)
            if target.name in there or target in jobs or target in failures:
                continue
            source = root / sample.sources[modality]
            real = resolve(source.parent) / source.name
            real = real.resolve() if real.is_symlink() else real
            if not real.is_relative_to(top):
                raise ValueError(
                    f"{sample.where}: {modality} {sample.sources[modality]!r} is a link to {real}, "
                    f"outside of root={root}: give the folder that holds the files as root"
                )
            failure = _known_failure(source, target, _note(target).name in there)
            if failure is None:
                jobs[target] = _Job(recipe, source, _part(modality, sample), target)
            else:
                failures[target] = failure
    return list(jobs.values()), failures


def _known_failure(source: Path, target: Path, noted: bool) -> MediaError | None:
    """Why a source fails, if that is known: it is missing, or failed before and did not change."""
    version = _version(source)
    if noted:
        note = json.loads(_note(target).read_text())
        if version in (None, note["version"]):
            return MediaError(note["status"], note["reason"])
    return MediaError("missing", "there is no such file") if version is None else None


def _note(target: Path) -> Path:
    """Where it is noted that a compact form's source failed."""
    return target.with_suffix(".failed")


def _version(source: Path) -> list[int] | None:
    """Size and time of change; None: there is no such file."""
    try:
        found = source.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return [found.st_size, found.st_mtime_ns]


def _make_folders(folder: Path) -> None:
    for i in range(256):
        (folder / f"{i:02x}").mkdir(parents=True, exist_ok=True)
    # Of runs that were killed.
    for path in folder.glob("??/.*.tmp"):
        path.unlink(missing_ok=True)


def _decode(jobs: Sequence[_Job], workers: int, progress: bool) -> dict[Path, MediaError]:
    """Do the jobs; those that failed, and why."""
    failures = {}
    processes = min(workers, 1 + len(jobs) // FILES_PER_PROCESS)
    with (
        parallel_config("loky", n_jobs=processes, inner_max_num_threads=1),
        tqdm(total=len(jobs), desc="Decoding", unit="file", disable=not progress) as bar,
    ):
        for target, failure in _results(jobs, os.getpid()):
            bar.update()
            if failure is not None:
                failures[target] = failure
    return failures


def _results(jobs: Sequence[_Job], parent: int) -> Iterator[tuple[Path, MediaError | None]]:
    calls = (delayed(_decode_one)(job, parent) for job in jobs)
    results: Iterator[tuple[Path, MediaError | None]] = Parallel(return_as="generator_unordered")(
        calls
    )
    return results


def _decode_one(job: _Job, parent: int) -> tuple[Path, MediaError | None]:
    if parent not in (os.getpid(), os.getppid()):
        # The run was killed: its workers would work off what is in their queue.
        raise SystemExit
    try:
        content = job.recipe.encode(job.source, job.part)
    except MediaError as error:
        version = _version(job.source)
        # What the system refuses it may give another time.
        if version is not None and error.status != "unreadable":
            note = {"status": error.status, "reason": error.reason, "version": version}
            with whole_file(_note(job.target)) as file:
                file.write(json.dumps(note).encode())
        return job.target, error
    with whole_file(job.target) as file:
        file.write(content)
    _note(job.target).unlink(missing_ok=True)
    return job.target, None


def _look(job: _Job) -> MediaError | None:
    try:
        check_file(job.source)
    except MediaError as error:
        return error
    return None


def _row(
    sample: Sample,
    folder: Path,
    recipes: Mapping[str, Recipe],
    failures: Mapping[Path, MediaError],
) -> Row:
    if sample.fault:
        return Row(sample.id, sample.split, sample.label, {}, "refused", sample.fault)
    sources, reasons, faults, absent = {}, [], [], False
    for modality, recipe in recipes.items():
        source = sample.sources.get(modality)
        if source is None:
            absent = True
            reasons.append(f"{modality}: absent")
        elif not isinstance(recipe, MediaRecipe):
            sources[modality] = source
        else:
            compact = _compact(modality, recipe, sample)
            failure = failures.get(folder / compact)
            if failure is None:
                sources[modality] = compact
            else:
                faults.append(failure.status)
                reasons.append(f"{modality} {source}: {failure}")
    status = faults[0] if faults else "absent" if absent else "ok"
    return Row(sample.id, sample.split, sample.label, sources, status, "; ".join(reasons))
