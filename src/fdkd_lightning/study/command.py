"""``fdkd study``: run the study that a file describes."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from fdkd_lightning.study.execute import StudyError, run_study
from fdkd_lightning.study.plan import read_study
from fdkd_lightning.study.results import collect, write_results

DESCRIPTION = """\
Run methods x directions x regimes x seeds and write results.csv and results.json into the study's
folder, and what fdkd report makes of them: table.md, table.png and report.html. An interrupted
study resumes: finished runs are kept, and a run whose configuration changed is repeated. Keys of
the file can be overridden (--workers=8), also by a second file (--config=FILE).
configs/study/digits.yaml is a commented example.

To add your own method, write a class in a module that can be imported from here, and a row:

  class L1(fdkd_lightning.DistillationLoss):  # in my_losses.py
      def forward(self, student, teacher, target):
          teacher = fdkd_lightning.require_teacher(self, teacher)
          return {"l1": (student.features - teacher.features).abs().mean()}

  L1: {args: [configs/demo/distill_$student.yaml, --model.criterion=my_losses.L1]}

The last line goes below "methods:" in the study's file. See examples/custom_loss.py."""


def study(args: Sequence[str]) -> Path:
    """Run ``fdkd study`` up to its results, and return the folder that holds them.

    Args:
        args: The arguments after ``fdkd study``.

    Raises:
        SystemExit: With a message, if an argument or the study's file is invalid, or no run has a
            result. Runs that failed beside others are listed in the results, and by the report.
    """
    parser = ArgumentParser(
        "fdkd study",
        description=DESCRIPTION,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", help="YAML file that describes the study")
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="address of a Dask scheduler; its workers (--nthreads 1) share folder and data",
    )
    parsed, overrides = parser.parse_known_args(args)
    for option in overrides:
        name = option.partition("=")[0]
        if len(name) > 2 and "--scheduler".startswith(name):
            parser.error(f"there is no {name}: did you mean --scheduler?")
    failures: dict[str, str] = {}
    try:
        plan = read_study(parsed.file, overrides)
        run_study(plan, parsed.scheduler)
    except StudyError as error:
        failures = error.failures
        if not collect(plan):
            raise SystemExit(f"fdkd study: {error}") from error
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"fdkd study: {error}") from error
    write_results(plan, collect(plan), plan.folder, failures)
    return plan.folder
