"""One training step of FD-CMKD at full size: its seconds and the memory of the process.

``python examples/large_models.py NAME --full``, in a process of its own for each name, since memory
is the process's peak; without arguments all of them, two layers deep. Weights are random.
"""

import resource
import sys
import time
from typing import Any

import torch
from lightning import Callback, Trainer, seed_everything
from torch import nn
from torch.utils.data import DataLoader, Dataset

import fdkd_lightning as fdkd

VIT = {"model_type": "vit", "hidden_size": 1024, "num_attention_heads": 16}
VIT |= {"intermediate_size": 4096, "image_size": 224, "patch_size": 16}
LLAMA = {"model_type": "llama", "hidden_size": 2048, "num_attention_heads": 32}
LLAMA |= {"num_key_value_heads": 4, "intermediate_size": 5632, "vocab_size": 32000}
DEPTHS = {"vit": 24, "llama": 22}
NAMES = ["vit", "checkpointed", "trunk", "alone", "llama"]


class StepTimes(Callback):
    """The seconds of each step, the optimizer's included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.start = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        self.seconds.append(time.perf_counter() - self.start)


class Pairs(Dataset[dict[str, Any]]):
    """Four images, each with the teacher's input: an image of another modality, or a text."""

    def __init__(self, taught: Any) -> None:
        self.taught = taught
        self.images = torch.randn(4, 3, 224, 224)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"visual": self.images[i], "teacher": self.taught, "label": 3, "index": i}


def network(size: dict[str, Any], full: bool, pooling: Any) -> fdkd.TransformersModel:
    source = size | {"num_hidden_layers": DEPTHS[size["model_type"]] if full else 2}
    return fdkd.TransformersModel(source, num_classes=10, pretrained=False, pooling=pooling)


def measure(name: str, full: bool) -> str:
    seed_everything(0, verbose=False)
    student = network(VIT, full, "cls")
    if name == "llama":
        # Weights in half the memory; the loss is computed in float32.
        teachers = {"teacher": network(LLAMA, full, "last").bfloat16()}
    else:
        teachers = {} if name == "alone" else {"teacher": network(VIT, full, "cls")}
    if name == "checkpointed":
        student.net.gradient_checkpointing_enable()
    if name == "trunk":
        # Layers below the last quarter stay as they are: no gradients, no momentum, no graph.
        layers = student.net.layers
        for part in (student.net.embeddings, *layers[: len(layers) * 3 // 4]):
            part.requires_grad_(False)
    tokens = torch.randint(1, 32000, (128,))
    text = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    pairs = Pairs(text if name == "llama" else torch.randn(3, 224, 224))
    module = fdkd.DistillationModule(
        student=student,
        teachers=teachers,
        criterion=fdkd.FDKDLoss(fdkd.FrequencyDecoupler(), fdkd.SharedAlignmentHead()),
        student_modality="visual",
        projector=fdkd.Projector() if name == "llama" else None,
    )
    times = StepTimes()
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False}
    quiet |= {"enable_progress_bar": False, "enable_model_summary": False}
    # The second step: the first one allocates.
    trainer = Trainer(max_steps=2, callbacks=[times], **quiet)
    trainer.fit(module, DataLoader(pairs, batch_size=2))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sizes = [f"student {size(student)}", *(f"teacher {size(net)}" for net in teachers.values())]
    return (
        f"{name}: {', '.join(sizes)} weights, batch 2: "
        f"{times.seconds[1]:.1f} s a step, {peak:.1f} GiB at most"
    )


def size(net: nn.Module) -> str:
    return f"{sum(p.numel() for p in net.parameters()) / 1e6:.0f} M"


if __name__ == "__main__":
    full = "--full" in sys.argv
    for name in [word for word in sys.argv[1:] if word in NAMES] or NAMES:
        print(measure(name, full), flush=True)
