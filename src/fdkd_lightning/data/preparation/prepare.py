"""Prepare a data set: decode its files once and write its manifest."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import get_args

import joblib
from filelock import FileLock

from fdkd_lightning.data.preparation.coverage import (
    CoverageReport,
    check_coverage,
    make_report,
)
from fdkd_lightning.data.preparation.decode import decode, make_folders
from fdkd_lightning.data.preparation.manifest_file import (
    Row,
    manifest_name,
    read_manifest,
    write_manifest,
)
from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.paths import level_hint
from fdkd_lightning.data.preparation.recipe import MediaRecipe, Recipe
from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.preparation.source_files import Compare, SourceFiles
from fdkd_lightning.data.preparation.store import require_folder
from fdkd_lightning.data.preparation.survey import Survey, recipe_folder
from fdkd_lightning.ops.checks import check_choice, check_range


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
    compare: Compare = "time",
) -> CoverageReport:
    """Decode the files that are not decoded yet, and write the manifest.

    A compact form is stored in a folder named after its recipe, under a name computed from its
    source, part and version. Another recipe or table therefore reuses what it has in common and
    cannot be confused with the rest, and a file that has changed is decoded again, whether it
    failed or not; its earlier compact form is removed. Files are written atomically: after an
    interruption, the next run continues. A file at which a decoder crashes costs only itself.

    Args:
        samples: All samples of the data set, checked.
        root: Folder of the source files.
        folder: Prepared folder; it is created.
        recipes: Modality -> recipe; other modalities of the samples are ignored.
        workers: Largest number of processes; None: the number of CPUs that this process may use;
            0: decode in this process, which a decoder that crashes would end.
        min_coverage: Smallest fraction of the samples of each split that must be usable.
        dry_run: Write nothing, and only check whether the files exist and are complete.
        progress: Show a progress bar.
        optional: Modalities that a sample may lack.
        follow_links: Allow links to files outside of the root.
        compare: What distinguishes versions of a source file: ``"time"`` (size and modification
            time) or ``"content"`` (a hash, for which all files are read each time).

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
        check_range("workers", workers, 0)
    check_choice("compare", compare, get_args(Compare))
    media = {name: recipe for name, recipe in recipes.items() if isinstance(recipe, MediaRecipe)}
    # The files are not kept: what is known of them takes as much memory as the samples.
    files = SourceFiles(root, compare, follow_links)
    survey = Survey(samples, folder, media, files, progress, check=dry_run)
    del files
    new_failures = survey.faults
    if survey.pending:
        require_folder(folder, "prepared", write=not dry_run)
    if survey.pending and not dry_run:
        # Another run may be preparing the same folder: make_folders removes partial files.
        with FileLock(folder / ".lock"):
            survey = Survey(samples, folder, media, SourceFiles(root, compare, follow_links))
            for recipe in media.values():
                make_folders(folder / recipe_folder(recipe))
            count = joblib.cpu_count() if workers is None else workers
            faults = decode(survey.jobs, count, progress)
            targets = {folder / form: form for form in survey.pending}
            new_failures = {targets[target]: error for target, error in faults.items()}
    rows = _rows(survey, recipes, survey.failures | new_failures)
    manifest = folder
    if not dry_run:
        manifest /= manifest_name(samples, recipes)
        try:
            write_manifest(manifest, rows, list(recipes))
        except OSError:
            # A shared read-only folder serves any part of what it holds: see read_rows.
            if survey.pending or not any(row.sources for row in rows):
                raise
    decoded = len(survey.pending) - len(new_failures)
    report = make_report(manifest, samples, rows, decoded, recipes, optional, dry_run)
    if not any(row.sources for row in rows):
        first = next((path for s in samples for m in media if (path := s.sources.get(m))), None)
        hint = level_hint(root, [first]) if first is not None else ""
        report = report._replace(hint=hint.strip("; "))
    if not dry_run:
        check_coverage(report, min_coverage)
    return report


def read_rows(
    samples: Sequence[Sample],
    root: Path,
    folder: Path,
    recipes: Mapping[str, Recipe],
    follow_links: bool = False,
    compare: Compare = "time",
) -> list[Row]:
    """Read the manifest of samples; without one, find what a prepared folder holds of them.

    Args:
        samples: All samples of the data set, checked.
        root: Folder of the source files; not needed for what is prepared.
        folder: Prepared folder, also of more modalities or samples.
        recipes: Modality -> recipe.
        follow_links: Allow links to files outside of the root.
        compare: What distinguishes versions of a source file.

    Raises:
        FileNotFoundError: If there is no manifest, and files are yet to be decoded.
        RuntimeError: If the manifest is damaged.
    """
    manifest = folder / manifest_name(samples, recipes)
    if folder.is_dir() and not manifest.exists():
        media = {name: r for name, r in recipes.items() if isinstance(r, MediaRecipe)}
        survey = Survey(samples, folder, media, SourceFiles(root, compare, follow_links))
        rows = _rows(survey, recipes, survey.failures)
        if not survey.pending and any(row.sources for row in rows):
            return rows
    rows = read_manifest(manifest, recipes)
    if [row.id for row in rows] != [sample.id for sample in samples]:
        raise RuntimeError(f"{manifest} was modified: delete it, and call prepare_data()")
    return rows


def _rows(
    survey: Survey, recipes: Mapping[str, Recipe], failures: Mapping[str, MediaError]
) -> list[Row]:
    return [
        _row(sample, {m: forms[i] for m, forms in survey.forms.items()}, recipes, failures)
        for i, sample in enumerate(survey.samples)
    ]


def _row(
    sample: Sample,
    forms: Mapping[str, str],
    recipes: Mapping[str, Recipe],
    failures: Mapping[str, MediaError],
) -> Row:
    if sample.fault:
        return Row(sample.id, sample.split, sample.label, {}, "refused", sample.fault)
    sources, reasons, faults, absent = {}, [], [], False
    for modality in recipes:
        source = sample.sources.get(modality)
        if source is None:
            absent = True
            reasons.append(f"{modality}: absent")
        elif modality not in forms:
            sources[modality] = source
        else:
            failure = failures.get(forms[modality])
            if failure is None:
                sources[modality] = forms[modality]
            else:
                faults.append(failure.status)
                reasons.append(f"{modality} {source}: {failure}")
    status = faults[0] if faults else "absent" if absent else "ok"
    return Row(sample.id, sample.split, sample.label, sources, status, "; ".join(reasons))
