"""Mutation testing of losses/, decoupler/ and ops/ on a seeded sample: nox -s mutants -- --help.

cosmic-ray makes the mutants. A baseline run under coverage finds the tests that pass on the
unmutated code and the functions each of them reaches; each mutant then runs only the tests that
reach the mutated function, in a fork of one process that has imported torch already.

Two sets of tests are compared on the same mutants: run once with ``--tests REVISION``, and again
without it and with ``--against`` the first run's JSON file.
"""

import argparse
import ast
import collections
import contextlib
import importlib
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOMS = ("losses", "decoupler", "ops")
PACKAGE = "src/fdkd_lightning"
# Imported once, before forking. Nothing of this package: its mutants are imported in the forks.
PRELOADED = ("pytest", "xdist", "torch", "lightning.pytorch", "torchmetrics", "timm", "scipy.stats")
KILLED, SURVIVED, TIMED_OUT, UNTESTED = "killed", "survived", "killed by its time limit", "untested"


class Mutant(NamedTuple):
    """One change of one file; the same on every machine."""

    file: str
    operator: str
    occurrence: int
    line: int

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line} {self.operator.removeprefix('core/')} #{self.occurrence}"


class Baseline(NamedTuple):
    """Which tests pass on the unmutated code, how long they take, and the lines they reach."""

    seconds: dict[str, float]
    failing: list[str]
    reached: dict[str, dict[int, set[str]]]


class Recorder:
    """A pytest plugin: the duration of each test that passes, and the names of the others."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = collections.defaultdict(float)
        self.failing: set[str] = set()

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.outcome != "passed":
            self.failing.add(report.nodeid)


class Selection:
    """A pytest plugin: run the given tests only, the quickest first."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        chosen = [item for item in items if item.nodeid in self.seconds]
        items[:] = sorted(chosen, key=lambda item: self.seconds[item.nodeid])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("nox -s mutants --", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="size of the sample")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants at once")
    parser.add_argument("--source", metavar="REVISION", help="mutate this one's src; else the tree")
    parser.add_argument("--tests", metavar="REVISION", help="run this one's tests; else the tree's")
    parser.add_argument("--out", type=Path, default="runs/mutants.json", help="results, JSON")
    parser.add_argument("--against", type=Path, help="an earlier --out of the same --source")
    options = parser.parse_args()
    # Also of the commands that are started.
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as temporary:
        copies = [Path(temporary, f"copy{job}") for job in range(options.jobs)]
        for copy in copies:
            lay_out(copy, options.source, options.tests)
        sample = draw(copies[0], options.count, options.seed)
        baseline = run_baseline(copies[0], options.jobs)
        print(
            f"{len(sample)} mutants; {len(baseline.seconds)} tests pass on the unmutated code in "
            f"{sum(baseline.seconds.values()):.0f} s; {len(baseline.failing)} do not, and are left "
            "out",
            *baseline.failing[:10],
            sep="\n  ",
            flush=True,
        )
        outcomes = dict(run_mutants(sample, copies, baseline))
        results = [
            {"name": mutant.name, "outcome": outcome, "change": change(copies[0], mutant)}
            for mutant, outcome in sorted(outcomes.items())
        ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1))
    report(results, options.against)
    print(f"results: {options.out}")


def lay_out(folder: Path, source: str | None, tests: str | None) -> None:
    """Copy the work tree's files, with src and tests of the revisions that are given."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listed, text=True).split("\0"):
        if name and Path(name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, folder / name)
    for revision, part in ((source, "src"), (source, "configs"), (tests, "tests")):
        if revision is not None:
            shutil.rmtree(folder / part)
            archive = subprocess.check_output(["git", "archive", revision, part])
            with tarfile.open(fileobj=io.BytesIO(archive)) as files:
                files.extractall(folder, filter="data")


def draw(copy: Path, count: int, seed: int) -> list[Mutant]:
    """Draw a sample of all mutants of the rooms, annotations left alone."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    operators = {
        name: kind()
        for name in operator_names()
        if not (kind := get_operator(name)).arguments() and not name.endswith("/NoOp")
    }
    found = []
    for room in ROOMS:
        for path in sorted((copy / PACKAGE / room).rglob("*.py")):
            text = path.read_text()
            nodes, ignored = list(ast_nodes(get_ast(text))), annotations(text)
            for name, operator in operators.items():
                spans = [span for node in nodes for span in operator.mutation_positions(node)]
                found += [
                    Mutant(path.relative_to(copy / PACKAGE).as_posix(), name, number, start[0])
                    for number, (start, _) in enumerate(spans)
                    if not any(low <= start < high for low, high in ignored)
                ]
    return random.Random(seed).sample(sorted(found), min(count, len(found)))


def annotations(text: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations begin and end: a change there is either an error or none at all."""
    spots = []
    for node in ast.walk(ast.parse(text)):
        for field in ("annotation", "returns"):
            spot = getattr(node, field, None)
            if spot is not None:
                spots.append(
                    (
                        (spot.lineno, spot.col_offset),
                        (spot.end_lineno, spot.end_col_offset),
                    )
                )
    return spots


def paths() -> list[str]:
    return [f"{folder}/{room}" for room in ROOMS for folder in ("tests", PACKAGE)]


def run_baseline(copy: Path, jobs: int) -> Baseline:
    """Run all tests of the rooms on the unmutated code."""
    code = f"""
import json, sys, pytest
sys.path[:0] = [{str(copy / "src")!r}, {str(Path(__file__).parent)!r}]
from mutants import Recorder
recorder = Recorder()
pytest.main(sys.argv[1:], plugins=[recorder])
with open("baseline.json", "w") as file:
    json.dump([recorder.seconds, sorted(recorder.failing)], file)
"""
    (copy / ".coveragerc").write_text(f"[run]\nsource = {copy / PACKAGE}\nconcurrency = thread\n")
    more = ["-q", "-p", "no:cacheprovider", f"-n{jobs}", "--cov", "--cov-context=test"]
    more += ["--cov-report=", "--cov-config=.coveragerc", "-m", "not gpu"]
    environment = os.environ | {"PYTHONPATH": str(copy / "src")}
    command = [sys.executable, "-c", code, *more, *filter(lambda p: (copy / p).exists(), paths())]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    if not (copy / "baseline.json").exists():
        sys.exit(f"the tests cannot be run on the unmutated code:\n{done.stdout}\n{done.stderr}")
    seconds, failing = json.loads((copy / "baseline.json").read_text())
    if not seconds:
        sys.exit(f"no test ran on the unmutated code:\n{done.stdout}\n{done.stderr}")
    passing = {name: value for name, value in seconds.items() if name not in failing}
    return Baseline(passing, failing, reached_lines(copy))


def reached_lines(copy: Path) -> dict[str, dict[int, set[str]]]:
    """File -> line -> the tests that ran it; lines that ran at import have no test."""
    from coverage.numbits import numbits_to_nums

    found: dict[str, dict[int, set[str]]] = collections.defaultdict(
        lambda: collections.defaultdict(set)
    )
    query = (
        "SELECT file.path, context.context, line_bits.numbits FROM line_bits "
        "JOIN file ON file.id = file_id JOIN context ON context.id = context_id"
    )
    with contextlib.closing(sqlite3.connect(copy / ".coverage")) as database:
        for path, context, bits in database.execute(query):
            file = Path(path).relative_to(copy / PACKAGE).as_posix()
            for line in numbits_to_nums(bits):
                found[file][line] |= {context.rpartition("|")[0]} if "|" in context else set()
    return found


def tests_of(mutant: Mutant, text: str, baseline: Baseline) -> dict[str, float]:
    """The tests that reach the function of a mutant; outside of functions those of the file."""
    lines = baseline.reached[mutant.file]
    spans = [
        range(min([node.lineno, *(d.lineno for d in node.decorator_list)]), node.end_lineno + 1)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None
    ]
    inside = [span for span in spans if mutant.line in span]
    span = min(inside, key=len) if inside else lines
    names = {name for line in span for name in lines.get(line, ())}
    return {name: baseline.seconds[name] for name in names if name in baseline.seconds}


def run_mutants(
    sample: list[Mutant], copies: list[Path], baseline: Baseline
) -> Iterator[tuple[Mutant, str]]:
    """Run each mutant's tests, as many mutants at once as there are copies."""
    sys.path.insert(0, str(Path(__file__).parent))
    for name in PRELOADED:
        importlib.import_module(name)
    running: dict[int, tuple[Mutant, Path, float]] = {}
    waiting, free, began, count = sample[::-1], list(copies), time.monotonic(), 0
    while waiting or running:
        while waiting and free:
            mutant, copy = waiting.pop(), free.pop()
            tests = tests_of(mutant, (copy / PACKAGE / mutant.file).read_text(), baseline)
            if not tests:
                free.append(copy)
                count += 1
                yield mutant, UNTESTED
                continue
            limit = time.monotonic() + 60 + 4 * sum(tests.values())
            running[start(mutant, copy, tests)] = mutant, copy, limit
        time.sleep(0.05)
        for child, (mutant, copy, limit) in list(running.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            late = not done and time.monotonic() > limit
            if not done and not late:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            if late:
                os.waitpid(child, 0)
            del running[child]
            (copy / PACKAGE / mutant.file).write_text((copy / "original").read_text())
            free.append(copy)
            count += 1
            outcome = TIMED_OUT if late else KILLED if status else SURVIVED
            seconds = time.monotonic() - began
            print(f"{count}/{len(sample)} {seconds:.0f} s {outcome}: {mutant.name}", flush=True)
            yield mutant, outcome


def start(mutant: Mutant, copy: Path, tests: dict[str, float]) -> int:
    """Mutate the copy's file and run the tests in a fork; its exit status is 0 if all pass."""
    path = copy / PACKAGE / mutant.file
    (copy / "original").write_text(path.read_text())
    path.write_text(mutated(path.read_text(), mutant))
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        os.chdir(copy)
        sys.path.insert(0, str(copy / "src"))
        os.environ["PYTHONPATH"] = str(copy / "src")
        sys.dont_write_bytecode = True
        with open("output.txt", "w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        import pytest

        options = ["-x", "-q", "-n0", "-p", "no:cacheprovider", "--tb=line", "-m", "not gpu"]
        files = sorted({name.partition("::")[0] for name in tests})
        status = int(pytest.main([*options, *files], plugins=[Selection(tests)]))
    finally:
        os._exit(status)


def mutated(text: str, mutant: Mutant) -> str:
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    found = mutate_code(text, get_operator(mutant.operator)(), mutant.occurrence)
    assert isinstance(found, str), mutant
    return found


def change(copy: Path, mutant: Mutant) -> str:
    """The mutated line, before and after."""
    before = (copy / PACKAGE / mutant.file).read_text()
    after = mutated(before, mutant)
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    return next((f"{a.strip()}  ->  {b.strip()}" for a, b in pairs if a != b), "")


def report(results: list[dict[str, str]], against: Path | None) -> None:
    counts = collections.Counter(result["outcome"] for result in results)
    print(*(f"{count} {outcome}" for outcome, count in counts.most_common()), sep=", ")
    alive = {r["name"]: r["change"] for r in results if r["outcome"] in (SURVIVED, UNTESTED)}
    print(f"{len(alive)} of {len(results)} mutants survive:")
    print(*(f"  {name}: {text}" for name, text in alive.items()), sep="\n")
    if against is None:
        return
    before = {r["name"]: r["outcome"] for r in json.loads(against.read_text())}
    if before.keys() != {result["name"] for result in results}:
        sys.exit(f"{against} has other mutants: give the same --source, --seed and --count")
    lost = [name for name in alive if before[name] in (KILLED, TIMED_OUT)]
    won = [r["name"] for r in results if r["name"] not in alive]
    won = [name for name in won if before[name] in (SURVIVED, UNTESTED)]
    print(f"{len(won)} are killed that survived in {against}")
    print(f"{len(lost)} survive that were killed in {against}:", *lost, sep="\n  ")


if __name__ == "__main__":
    main()
