"""The same checks on a laptop as in CI: nox -s SESSION.

In CI: lint, types, tests, examples, sweep, docs and build. By hand: demo, minimum (every lower
bound), mutants (mutation testing), fuzz (300 bad inputs of each kind) and kill (20 kills of each
command).

One environment serves most sessions, since one with torch takes several gigabytes: the session
``environment`` makes it, and the others ask for that one first. On an existing environment
``nox -R -s tests`` runs without installing again.
"""

import re
import shutil
import sys
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests", "examples", "sweep", "docs", "build"]

PROJECT = nox.project.load_toml("pyproject.toml")
# Writes the grid of `fdkd sweep`: the parameters of each trial; of another method, an empty list.
LIST_GRID = """
import json
import sys
from pathlib import Path

from optuna.trial import FixedTrial

from fdkd_lightning.study.sweep.sweep_file import read_sweep_file
from fdkd_lightning.study.sweep.trial_arguments import nest

sweep = read_sweep_file(Path(sys.argv[1]))
trials = []
for point in sweep.grid() if sweep.method == "grid" else []:
    trial = FixedTrial(point)
    trials.append(nest(sweep.parameters, {p.name: p.suggest(trial) for p in sweep.parameters}))
Path(sys.argv[2]).write_text(json.dumps(trials))
"""
# The same of W&B's package.
CHECK_GRID = """
import json
import sys
import yaml
from sweeps.grid_search import grid_search_next_runs

with open(sys.argv[1]) as file:
    content = yaml.safe_load(file)
with open(sys.argv[2]) as file:
    listed = json.load(file)
if content["method"] != "grid":
    sys.exit()
runs = grid_search_next_runs([], content, n=len(listed) + 1)
theirs = [{name: entry["value"] for name, entry in run.config.items()} for run in runs if run]
if listed != theirs:
    sys.exit(f"{sys.argv[1]}: fdkd sweep lists {listed}, and W&B {theirs}")
print(f"{sys.argv[1]}: the same {len(listed)} trials as W&B")
"""
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
# Prints site-packages and the files in it of torch and of the libraries that come with it.
TORCH_FILES = """
import re
from importlib.metadata import distributions

large = re.compile(r"torch|torchvision|torchaudio|triton|(nvidia|cuda)[-_].*")
found = [package for package in distributions() if large.fullmatch(package.metadata["Name"])]
tops = {file.parts[0] for package in found for file in package.files or []}
print(found[0].locate_file(""), *sorted(tops - {"..", "__pycache__"}), sep="\\n")
"""
# Runs scripts, two at a time, each in a process forked from one that has imported the package: that
# takes as long as most of them.
RUN_SCRIPTS = """
import multiprocessing
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor

scripts, sys.argv = sys.argv[1:], ["example"]
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["fdkd_lightning.training.distillation"])


def run(script):
    process = context.Process(target=runpy.run_path, args=(script, None, "__main__"))
    process.start()
    process.join()
    return process.exitcode


with ThreadPoolExecutor(2) as pool:
    failed = [script for script, code in zip(scripts, pool.map(run, scripts)) if code]
sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
"""
# One step of FD-CMKD, where no extra is installed.
SMOKE_TEST = """
import sys
from importlib.metadata import version
from importlib.util import find_spec

import torch

import fdkd_lightning as fdkd

assert "site-packages" in fdkd.__file__, fdkd.__file__
assert not [name for name in ("av", "h5py", "onnx", "mlxtend") if find_spec(name)]
for name in fdkd.__all__:
    getattr(fdkd, name)
torch.manual_seed(0)
batch = {
    "audio": torch.randn(4, 1, 32, 32),
    "visual": torch.randn(4, 3, 32, 32),
    "label": torch.arange(4),
    "index": torch.arange(4),
}
networks = [fdkd.ResNet(4, channels, (1, 1, 1, 1), (4, 4, 4, 16)) for channels in (1, 3)]
criterion = fdkd.FDKDLoss(fdkd.FrequencyDecoupler(), fdkd.SharedAlignmentHead())
teacher = networks[1].eval().requires_grad_(False)
with torch.no_grad():
    taught = teacher(batch["visual"])
student = networks[0](batch["audio"])
criterion.build(student, taught)
optimizer = torch.optim.SGD([*networks[0].parameters(), *criterion.parameters()], lr=0.1)
before = networks[0].net.fc.weight.clone()
loss = sum(criterion(student, taught, batch["label"]).values())
loss.backward()
optimizer.step()
assert loss.isfinite()
print("one step of FD-CMKD:", loss.item(), "fdkd_lightning", version("fdkd_lightning"))
"""
# What is imported is compiled then, a part of all; unless Python is told to keep nothing compiled.
PIP_OPTIONS = [] if sys.dont_write_bytecode else ["--no-compile"]
ENVIRONMENT = Path(".nox/environment").resolve()
SCRIPTS = "Scripts" if sys.platform == "win32" else "bin"
SITE = Path("site")
TEST_TOOLS = [
    tool for tool in nox.project.dependency_groups(PROJECT, "dev") if tool.startswith("pytest")
]


@nox.session(reuse_venv=True, default=False)
def environment(session: nox.Session) -> None:
    # The pinned torch first, so that the package's open range finds it installed.
    session.install(*PIP_OPTIONS, *nox.project.dependency_groups(PROJECT, "dev", "docs"))
    session.install(*PIP_OPTIONS, "--editable", ".[all]")


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
    scripts = sorted({*Path("examples").glob("*.py")} - {*Path("examples").glob("demo*.py")})
    one_thread = {"OMP_NUM_THREADS": "1"}
    # One seed: the study itself has five, and two workers.
    run(session, "fdkd", "study", "examples/study/study.yaml", "--seeds=[0]", env=one_thread)
    run(session, "python", "-c", RUN_SCRIPTS, *map(str, scripts), env=one_thread)


@nox.session(reuse_venv=True, requires=["environment"])
def sweep(session: nox.Session) -> None:
    # W&B's own schema and grid; it needs numpy < 2, hence an environment of its own.
    session.install("sweeps==0.3.0")
    files = session.posargs or ["configs/sweep.yaml"]
    session.run("python", "-c", CHECK_SWEEP, *files)
    for file in files:
        listed = (Path(session.create_tmp()) / "grid.json").resolve()
        run(session, "python", "-c", LIST_GRID, file, str(listed))
        session.run("python", "-c", CHECK_GRID, file, str(listed))


@nox.session(venv_backend="none", requires=["environment"])
def demo(session: nox.Session) -> None:
    # nox -s demo, or nox -s demo -- digits (or rooms); what follows goes to the study.
    scripts = {"digits": "demo_digits.py", "rooms": "demo_segmentation.py"}
    name, *options = session.posargs or [""]
    if name in scripts:
        run(session, "python", f"examples/{scripts[name]}", *options)
    else:
        run(session, "fdkd", "study", "configs/study/watch_demo.yaml", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def docs(session: nox.Session) -> None:
    shutil.rmtree(SITE, ignore_errors=True)
    # -E: pages of names that are gone must not be read from a cache.
    run(session, "sphinx-build", "-W", "--keep-going", "-q", "-E", "examples/guides", str(SITE))
    session.log(f"open {SITE / 'index.html'}")


@nox.session(reuse_venv=True, requires=["environment"])
def build(session: nox.Session) -> None:
    shutil.rmtree("dist", ignore_errors=True)
    session.install(*nox.project.dependency_groups(PROJECT, "build"))
    session.run("python", "-m", "build", "--outdir", "dist", silent=True)
    session.run("python", "-m", "twine", "check", "--strict", *map(str, Path("dist").iterdir()))
    # Nothing of this environment but torch, by links: a second copy takes gigabytes and minutes.
    empty = Path(session.create_tmp()) / "empty"
    shutil.rmtree(empty, ignore_errors=True)
    session.run("python", "-m", "venv", str(empty))
    python = str((empty / SCRIPTS / "python").absolute())
    where = 'import sysconfig; print(sysconfig.get_path("purelib"))'
    site = Path(str(session.run(python, "-c", where, external=True, silent=True)).strip())
    listed = str(run(session, "python", "-c", TORCH_FILES, silent=True)).split("\n")
    for name in filter(None, listed[1:]):
        if not (site / name).exists():
            (site / name).symlink_to(Path(listed[0]) / name)
    [wheel] = Path("dist").resolve().glob("*.whl")
    session.run(python, "-m", "pip", "install", "-q", str(wheel), external=True)
    with session.chdir(empty):
        session.run(python, "-c", SMOKE_TEST, external=True)
        session.run(str(Path(python).parent / "fdkd"), "--version", external=True)


@nox.session(reuse_venv=True, default=False)
def minimum(session: nox.Session) -> None:
    floors = Path(session.create_tmp()) / "floors.txt"
    bounds = PROJECT["project"]["dependencies"] + [
        bound for extra in PROJECT["project"]["optional-dependencies"].values() for bound in extra
    ]
    # The lower bound of each: "name[extra]>=1.2,<2" becomes "name==1.2".
    pins = [bound.partition(",")[0].replace(">=", "==") for bound in bounds if "=" in bound]
    floors.write_text("\n".join(re.sub(r"\[.*?\]", "", pin) for pin in pins))
    session.install("--constraint", str(floors), "--editable", ".[all]", *TEST_TOOLS)
    session.run("pytest", "-m", "not slow", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"], default=False)
def mutants(session: nox.Session) -> None:
    tools = nox.project.dependency_groups(PROJECT, "mutants")
    run(session, "python", "-m", "pip", "install", "-q", *tools)
    run(session, "python", ".ci/mutants.py", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"], default=False)
def fuzz(session: nox.Session) -> None:
    cases = {"FDKD_FUZZ_CASES": "300"}
    run(session, "pytest", "tests/fuzz", *session.posargs, env=cases)


@nox.session(venv_backend="none", requires=["environment"], default=False)
def kill(session: nox.Session) -> None:
    run(session, "pytest", "-n0", "tests/kill", *session.posargs, env={"FDKD_KILLS": "20"})


def run(
    session: nox.Session,
    program: str,
    *args: str,
    silent: bool = False,
    env: dict[str, str] | None = None,
) -> object:
    path = str(ENVIRONMENT / SCRIPTS / program)
    return session.run(path, *args, external=True, silent=silent, env=env)
