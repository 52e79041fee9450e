"""Cost of the paper's Table 3 on NYU Depth V2, before any of it is run: counted operations.

Usage: python examples/results/table3_cost.py
Prints examples/results/table3_cost.txt. Counts one training step of the networks in
configs/nyudepth by torch's counter, without data, weights or a GPU: convolutions and matrix
products of the forward and backward pass, a multiplication and an addition as two. The criteria's
own operations, evaluation after each epoch and decoding come on top.
"""

import torch
import yaml
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from fdkd_lightning.models import DeepLabV3Plus
from fdkd_lightning.study.plan import method_runs, read_study, teacher_runs

TRAIN, BATCH, VIEW = 716, 8, (480, 640)  # samples of an epoch, views of a step and their size
CHANNELS = {"depth": 1, "visual": 3}
SUSTAINED = (10, 50)  # TFLOP/s that a card reaches in practice


def network(modality: str) -> DeepLabV3Plus:
    with open(f"configs/nyudepth/unimodal_{modality}.yaml") as file:
        arguments = yaml.safe_load(file)["model"]["init_args"]["model"]["init_args"]
    return DeepLabV3Plus(**arguments | {"pretrained": False}).to("meta")


def count(student: str, teacher: str | None) -> float:
    """Return the operations of one step, TFLOP."""
    networks = {name: network(name) for name in (student, teacher) if name}
    with torch.device("meta"):
        views = {name: torch.empty(BATCH, CHANNELS[name], *VIEW) for name in networks}
        target = torch.empty(BATCH, *VIEW, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        if teacher:
            with torch.no_grad():
                networks[teacher](views[teacher])
        torch.autograd.backward(cross_entropy(networks[student](views[student]).logits, target))
    return float(counter.get_total_flops()) / 1e12


def main() -> None:
    study = read_study("configs/nyudepth/table3.yaml")
    with open("configs/nyudepth/unimodal_depth.yaml") as file:
        epochs = yaml.safe_load(file)["trainer"]["max_epochs"]
    steps = epochs * -(-TRAIN // BATCH)
    print(f"A run: {epochs} epochs, {steps:,} steps of {BATCH} views of {VIEW[0]} x {VIEW[1]}.")
    costs = {}
    for name, direction in study.directions.items():
        for taught in (False, True):
            teacher = direction.teachers[0] if taught else None
            costs[name, taught] = cost = count(direction.student, teacher)
            what = f"with its teacher, {teacher}" if teacher else "alone"
            print(
                f"{direction.student} {what}: {cost:.2f} TFLOP a step, "
                f"{cost * steps / 1e3:,.0f} PFLOP a run"
            )
    alone = {study.baseline, "no teacher"}
    runs = [(run.direction, run.method not in alone) for run in method_runs(study)]
    names = {direction.student: name for name, direction in study.directions.items()}
    runs += [(names[run.direction], False) for run in teacher_runs(study).values()]
    total = sum(costs[run] for run in runs) * steps / 1e6
    hours = " to ".join(f"{total * 1e6 / rate / 3600:,.0f}" for rate in reversed(SUSTAINED))
    print(
        f"{len(runs)} runs: {total:.1f} EFLOP, {hours} hours on a card that sustains "
        f"{SUSTAINED[1]} to {SUSTAINED[0]} TFLOP/s."
    )


if __name__ == "__main__":
    main()
