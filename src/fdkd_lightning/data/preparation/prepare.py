"""Prepare a data set: decode its files once and write its manifest."""

import functools
import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from fdkd_lightning.data.preparation.coverage import (
    CoverageReport,
    check_coverage,
    make_report,
)
from fdkd_lightning.data.preparation.decode import (
    Job,
    decode,
    known_failure,
    make_folders,
    note_path,
)
from fdkd_lightning.data.preparation.frame_folder import list_frames
from fdkd_lightning.data.preparation.manifest_file import (
    Row,
    manifest_name,
    read_manifest,
    write_manifest,
)
from fdkd_lightning.data.preparation.media_error import MediaError, check_file
from fdkd_lightning.data.preparation.paths import level_hint
from fdkd_lightning.data.preparation.recipe import MediaRecipe, Part, Recipe
from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.preparation.store import require_folder
from fdkd_lightning.ops.checks import check_range


def prepare(
    samples: Sequence[Sample],
    root: Path,
    folder: Path,
    recipes: Mapping[str, Recipe],
    workers: int | None = None,
    min_coverage: float = 0.9,
    dry_run: bool = False,
    progress: bool = True,
    optional: Collection[str] = (),
    follow_links: bool = False,
) -> CoverageReport:
    """Decode the files that are not decoded yet, and write the manifest.

    A compact form is stored in a folder named after its recipe, under a name computed from its
    source and part. Another recipe or table therefore reuses what it has in common and cannot be
    confused with the rest. Files are written atomically: after an interruption, the next run
    continues. A file that failed is decoded again once it has changed. To decode other files again
    after a change, delete the folder.

    Args:
        samples: All samples of the data set, checked.
        root: Folder of the source files.
        folder: Prepared folder; it is created.
        recipes: Modality -> recipe; other modalities of the samples are ignored.
        workers: Largest number of processes; None: the number of CPUs.
        min_coverage: Smallest fraction of the samples of each split that must be usable.
        dry_run: Write nothing, and only check whether the files exist and are complete.
        progress: Show a progress bar.
        optional: Modalities that a sample may lack.
        follow_links: Allow links to files outside of the root.

    Returns:
        Coverage of the splits. Its ``manifest`` has a row for each sample, in their order: id,
        split, label, a compact form (or text) for each modality, status and reason.

    Raises:
        ValueError: If a number is out of range, or a source is a link to outside of the root.
        CoverageError: If a split has fewer usable samples; the manifest is written before.
        OSError: If the folder cannot be written, also for ``dry_run``.
    """
    check_range("min_coverage", min_coverage, 0, 1)
    if workers is not None:
        check_range("workers", workers, 1)
    media = {name: recipe for name, recipe in recipes.items() if isinstance(recipe, MediaRecipe)}
    jobs, failures = _survey(samples, root, folder, media, follow_links)
    new_failures: dict[Path, MediaError] = {}
    if jobs:
        require_folder(folder, "prepared", write=not dry_run)
    if dry_run:
        new_failures = {job.target: error for job in jobs if (error := _check(job)) is not None}
    elif jobs:
        # Another run may be preparing the same folder: make_folders removes partial files.
        with FileLock(folder / ".lock"):
            jobs, failures = _survey(samples, root, folder, media, follow_links)
            for recipe in media.values():
                make_folders(folder / _folder(recipe))
            new_failures = decode(jobs, workers or os.cpu_count() or 1, progress)
    failures |= new_failures
    rows = [_row(sample, folder, recipes, failures) for sample in samples]
    manifest = folder / manifest_name(samples, recipes)
    if not dry_run:
        try:
            write_manifest(manifest, rows, list(recipes))
        except OSError:
            # A shared read-only folder serves any part of what it holds: see read_rows.
            if jobs or not any(row.sources for row in rows):
                raise
    report = make_report(
        manifest, samples, rows, len(jobs) - len(new_failures), recipes, optional, dry_run
    )
    if not any(row.sources for row in rows):
        first = next((path for s in samples for m in media if (path := s.sources.get(m))), None)
        hint = level_hint(root, [first]) if first is not None else ""
        report = report._replace(
            faults=[hint.strip("; "), *report.faults] if hint else report.faults
        )
    if not dry_run:
        check_coverage(report, min_coverage)
    return report


def read_rows(
    samples: Sequence[Sample],
    root: Path,
    folder: Path,
    recipes: Mapping[str, Recipe],
    follow_links: bool = False,
) -> list[Row]:
    """Read the manifest of samples; without one, find what a prepared folder holds of them.

    Args:
        samples: All samples of the data set, checked.
        root: Folder of the source files; not needed for what is prepared.
        folder: Prepared folder, also of more modalities or samples.
        recipes: Modality -> recipe.
        follow_links: Allow links to files outside of the root.

    Raises:
        FileNotFoundError: If there is no manifest, and files are yet to be decoded.
        RuntimeError: If the manifest is damaged.
    """
    manifest = folder / manifest_name(samples, recipes)
    if folder.is_dir() and not manifest.exists():
        media = {name: r for name, r in recipes.items() if isinstance(r, MediaRecipe)}
        jobs, failures = _survey(samples, root, folder, media, follow_links)
        rows = [_row(sample, folder, recipes, failures) for sample in samples]
        if not jobs and any(row.sources for row in rows):
            return rows
    rows = read_manifest(manifest, recipes)
    if [row.id for row in rows] != [sample.id for sample in samples]:
        raise RuntimeError(f"{manifest} was modified: delete it, and call prepare_data()")
    return rows


def _folder(recipe: MediaRecipe) -> str:
    kind = type(recipe).__name__.removesuffix("Recipe").lower()
    return f"{kind}-{recipe.fingerprint}"


def _compact_form(modality: str, recipe: MediaRecipe, sample: Sample) -> str:
    """Return the path of a compact form, relative to the prepared folder."""
    source = (sample.sources[modality], *_part(modality, sample))
    name = hashlib.sha256(repr(source).encode()).hexdigest()[:24]
    # Hundreds of thousands of files in one folder are slow on many file systems.
    return f"{_folder(recipe)}/{name[:2]}/{name}{recipe.suffix}"


def _part(modality: str, sample: Sample) -> Part:
    if modality in sample.cut:
        return Part(member=sample.members.get(modality, ""))
    return Part(sample.start, sample.duration, sample.members.get(modality, ""))


def _survey(
    samples: Sequence[Sample],
    root: Path,
    folder: Path,
    media: Mapping[str, MediaRecipe],
    follow_links: bool,
) -> tuple[list[Job], dict[Path, MediaError]]:
    """List the files to decode, each once, in the order of the samples, and the known failures."""
    resolve = functools.lru_cache(4096)(Path.resolve)
    resolved_root = root.resolve()
    jobs: dict[Path, Job] = {}
    failures: dict[Path, MediaError] = {}
    for modality, recipe in media.items():
        existing = {path.name for path in (folder / _folder(recipe)).glob("??/*")}
        for sample in samples:
            if modality not in sample.sources or sample.fault:
                continue
            target = folder / _compact_form(modality, recipe, sample)
            if target.name in existing or target in jobs or target in failures:
                continue
            source = root / sample.sources[modality]
            if not follow_links:
                resolved = resolve(source.parent) / source.name
                resolved = resolved.resolve() if resolved.is_symlink() else resolved
                if not resolved.is_relative_to(resolved_root):
                    raise ValueError(
                        f"{sample.where}: {modality} {sample.sources[modality]!r} is a link to "
                        f"{resolved}, outside of root={root}: set follow_links=true to allow it"
                    )
            failure = known_failure(source, target, note_path(target).name in existing)
            if failure is None:
                jobs[target] = Job(recipe, source, _part(modality, sample), target)
            else:
                failures[target] = failure
    return list(jobs.values()), failures


def _check(job: Job) -> MediaError | None:
    try:
        if job.source.is_dir():
            list_frames(job.source)
        else:
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
            compact_form = _compact_form(modality, recipe, sample)
            failure = failures.get(folder / compact_form)
            if failure is None:
                sources[modality] = compact_form
            else:
                faults.append(failure.status)
                reasons.append(f"{modality} {source}: {failure}")
    status = faults[0] if faults else "absent" if absent else "ok"
    return Row(sample.id, sample.split, sample.label, sources, status, "; ".join(reasons))
