"""Write cost.md: what VGGSound, and a thousand times as much, cost by the measured constants.

python examples/results/cost.py              # from examples/results/benchmark
python examples/results/cost.py runs/benchmark
"""

import sys
from collections.abc import Callable
from pathlib import Path

from fdkd_lightning.benchmark.result_files import read_results
from fdkd_lightning.report.benchmark_text import byte_text, duration

HERE = Path(__file__).parent
CLIPS = (199_176, 199_176_000)
D, CLASSES = 512, 309
PAIR, BATCH = "ResNet-18, 8x3x96x96", 8
FILES, FILE_BATCH = "64 pairs of 1 s of sound and 256x256 pixels", 64
# A row's index, two keys, presence and check sum; all but the last are read into memory.
ROW, IN_MEMORY = 29, 25

HEAD = """Constants: `{command}`, {processor}, {cores} cores.
Pair: {pair}, {batch} samples a batch, float32, SGD with momentum; outputs of D = {d} features and
K = {k} logits.

| | {clips} |
|---|{rules}
"""


def page(folder: Path = HERE / "benchmark") -> str:
    """The table and what bounds an epoch."""
    rows, about = read_results(folder)
    measured = {(row.case, row.size, row.variant): row.median for row in rows}

    def sample(variant: str) -> float:
        return measured["step", PAIR, variant] / BATCH

    def loaded(variant: str) -> float:
        return measured["loader", FILES, variant] / FILE_BATCH

    student, both = sample("S: student alone"), sample("S + T: student, teacher forward")
    live, cached = sample("module"), sample("module, cached teacher")
    files, prepared, rest = map(
        loaded, ("decoded files", "prepared files", "prepared, teacher cached")
    )
    # Momentum is as large as the weights, and the teacher has the student's size.
    state = measured["checkpoint", PAIR, "student, heads and optimizer"]
    at_once = measured["memory", PAIR, "with teacher and loss"]
    alone = measured["memory", PAIR, "student alone"]
    lines: dict[str, Callable[[int], str]] = {
        "memory of a rank, live": lambda n: byte_text(state + state / 2 + at_once),
        "memory of a rank, cached": lambda n: byte_text(state + alone + IN_MEMORY * n),
        "cache, float32": lambda n: byte_text(n * (4 * (D + CLASSES) + ROW)),
        "cache, float16": lambda n: byte_text(n * (2 * (D + CLASSES) + ROW)),
        "cache, building": lambda n: duration(n * (both - student)),
        "epoch, steps live": lambda n: duration(n * live),
        "epoch, steps cached": lambda n: duration(n * cached),
        "epoch, loading by one worker: decoded files": lambda n: duration(n * files),
        "epoch, loading by one worker: prepared": lambda n: duration(n * prepared),
        "epoch, loading by one worker: prepared, cached": lambda n: duration(n * rest),
    }
    head = HEAD.format(
        command=about["command"],
        processor=about["machine"]["processor"],
        cores=about["machine"]["cores"],
        **{"pair": PAIR, "batch": BATCH, "d": D, "k": CLASSES},
        clips=" | ".join(f"{n:,} clips" for n in CLIPS),
        rules="---|" * len(CLIPS),
    )
    table = [f"| {name} | {' | '.join(map(text, CLIPS))} |" for name, text in lines.items()]
    return head + "\n".join([*table, "", bound(live, prepared, files, both - student), ""])


def bound(step: float, prepared: float, files: float, teacher: float) -> str:
    """Describe what bounds a live epoch, and when that changes."""
    slower = "the step" if step > prepared else "loading"
    return (
        f"Live, {slower} bounds an epoch: a sample's step takes {duration(step)}, of them "
        f"{duration(teacher)} the teacher's; loading it by one worker takes {duration(prepared)} "
        f"prepared and {duration(files)} decoded.\nA device that is {step / prepared:.1f} times as "
        f"fast waits for one worker with prepared files, and one that is {step / files:.1f} times "
        "as fast for one that decodes."
    )


if __name__ == "__main__":
    (HERE / "cost.md").write_text(page(*map(Path, sys.argv[1:])))
