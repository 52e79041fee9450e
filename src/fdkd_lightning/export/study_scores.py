"""Find the test scores of a run's method over the seeds of its study."""

from pathlib import Path

from fdkd_lightning.export.base import ExportError
from fdkd_lightning.export.run_facts import StudyScores
from fdkd_lightning.study.planned_run import run_slug
from fdkd_lightning.study.results import read_results


def read_scores(folder: Path, run: str) -> StudyScores:
    """Read the scores of the runs that differ from one run in the seed alone."""
    settings, rows = read_results(folder)
    slug = run.rpartition("-")[0]
    found = [
        row
        for row in rows
        if run_slug(row.method, row.direction, row.regime, row.tuned, row.seed) == slug
    ]
    if len(found) != 1:
        raise ExportError(
            f"study={str(folder)!r} has no run {run!r}: its runs are in {folder / 'runs'}; export "
            "one by its own configuration (--config RUN/logs/version_0/config.yaml)"
        )
    [row] = found
    alike = [
        other
        for other in rows
        if (other.method, other.direction, other.regime, other.tuned)
        == (row.method, row.direction, row.regime, row.tuned)
    ]
    # A search's runs have no test score.
    name = f"test_{settings['epoch']}"
    values = {r.seed: r.values[name] for r in alike if name in r.values}
    return StudyScores(
        row.method, row.direction, row.regime, settings["metric"], settings["epoch"], values
    )
