"""``fdkd study``: run what a file describes, or report what was found."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from fdkd_lightning.study.execute import StudyError, run_study
from fdkd_lightning.study.plan import read_study
from fdkd_lightning.study.results import collect, write_results

DESCRIPTION = """\
Run methods x directions x regimes x seeds and write, into the study's folder, results.csv,
results.json, table.md and table.png. A study that was cut off goes on where it was; a run whose
configurations changed is done anew. Keys of the file can be given here too: --workers=8, and a
second file over it: --config=FILE. configs/study/demo.yaml is a commented example.

A method of your own is a class in a module that Python finds from here, and a row of the file:

  class L1(fdkd_lightning.DistillationLoss):  # in my_losses.py
      def forward(self, student, teacher, target):
          teacher = fdkd_lightning.require_teacher(self, teacher)
          return {"l1": (student.features - teacher.features).abs().mean()}

  L1: {args: [configs/demo/distill_$student.yaml, --model.criterion=my_losses.L1]}

(the last line below methods:). examples/custom_loss.py does it."""


def study(args: Sequence[str]) -> Path:
    """Run the command up to its results, and return the folder that holds them.

    Args:
        args: The arguments after ``fdkd study``.
    """
    parser = ArgumentParser(
        "fdkd study", description=DESCRIPTION, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", help="the study, YAML")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="only write tables again")
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="a Dask scheduler whose workers (--nthreads 1) share folder and data",
    )
    own, overrides = parser.parse_known_args(args)
    if (own.file is None) == (own.report is None):
        parser.error("give the file of a study, or --report and the folder of one that was run")
    try:
        if own.report is not None:
            return Path(own.report)
        plan = read_study(own.file, overrides)
        run_study(plan, own.scheduler)
    except (StudyError, ValueError, FileNotFoundError) as error:
        raise SystemExit(f"fdkd study: {error}") from error
    write_results(plan, collect(plan), plan.folder)
    return plan.folder
