"""What CI runs, a laptop runs: nox -s lint | types | tests | examples | sweep | demo.

One environment serves all but ``sweep``, since one with torch takes several gigabytes: the session
``environment`` makes it, and the others ask for that one first. On an existing environment
``nox -R -s tests`` runs without installing again.
"""

import sys
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests", "examples", "sweep"]

PROJECT = nox.project.load_toml("pyproject.toml")
# The checks that W&B makes of a sweep when it is created.
CHECK_SWEEP = """
import sys
import yaml
from sweeps.config.cfg import schema_violations_from_proposed_config

for path in sys.argv[1:]:
    with open(path) as file:
        violations = schema_violations_from_proposed_config(yaml.safe_load(file))
    if violations:
        sys.exit("\\n".join([f"{path} is no sweep that W&B accepts:", *violations]))
"""
SCRIPTS = Path(".nox/environment").resolve() / ("Scripts" if sys.platform == "win32" else "bin")


@nox.session(reuse_venv=True, default=False)
def environment(session: nox.Session) -> None:
    # The pinned torch first, so that the package's open range finds it installed.
    session.install(*nox.project.dependency_groups(PROJECT, "dev"))
    session.install("--editable", ".[demo,export]")


@nox.session(venv_backend="none", requires=["environment"])
def lint(session: nox.Session) -> None:
    run(session, "ruff", "check")
    run(session, "ruff", "format", "--check")


@nox.session(venv_backend="none", requires=["environment"])
def types(session: nox.Session) -> None:
    run(session, "mypy")


@nox.session(venv_backend="none", requires=["environment"])
def tests(session: nox.Session) -> None:
    run(session, "pytest", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def examples(session: nox.Session) -> None:
    for example in sorted({*Path("examples").glob("*.py")} - {Path("examples/demo.py")}):
        run(session, "python", str(example))
    run(session, "fdkd", "study", "examples/study/study.yaml")


@nox.session(reuse_venv=True)
def sweep(session: nox.Session) -> None:
    # W&B's own schema; it needs numpy < 2, hence an environment of its own.
    session.install("sweeps==0.3.0")
    session.run("python", "-c", CHECK_SWEEP, *(session.posargs or ["configs/sweep.yaml"]))


@nox.session(venv_backend="none", requires=["environment"])
def demo(session: nox.Session) -> None:
    run(session, "python", "examples/demo.py", *session.posargs)


def run(session: nox.Session, program: str, *args: str) -> None:
    session.run(str(SCRIPTS / program), *args, external=True)
