"""Checkpoints and exported folders, damaged in many ways: none may load without a word.

Each case damages one file and reads it by one way. Its outcome is ``rejected`` (an error of ours
that names the file), ``meaningful`` (the damage has a meaning: the loaded weights are those in the
file), ``obscure`` (an error of torch's that does not name the file), or ``silent``.
"""

import json
import os
import random
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fdkd_lightning.export.hub import ExportedStudent
from fdkd_lightning.export.weights import load_student, save_weights
from fdkd_lightning.models.ngram_net import NgramNet
from fdkd_lightning.models.pretrained import PretrainedModel
from fdkd_lightning.training.unimodal import UnimodalModule

CASES = int(os.environ.get("FDKD_FUZZ_CASES", "24"))
CLASSES = 4
Weights = dict[str, Any]


def net() -> NgramNet:
    return NgramNet(CLASSES)


def write(path: Path, weights: Weights) -> None:
    """Write weights in the format of the file's name."""
    if path.suffix == ".ckpt":
        stored = {f"model.{name}": value for name, value in weights.items()}
        torch.save({"state_dict": stored, "epoch": 1, "global_step": 3}, path)
    else:
        save_file({name: value.contiguous() for name, value in weights.items()}, path)


# Damage of weights: name of the damage -> function of random numbers and weights.


def chosen(rng: random.Random, weights: Weights) -> str:
    """The name of a floating-point tensor."""
    return rng.choice([n for n, value in sorted(weights.items()) if value.is_floating_point()])


def with_value(rng: random.Random, weights: Weights) -> Weights:
    name = chosen(rng, weights)
    value = weights[name].clone()
    value.view(-1)[rng.randrange(value.numel())] = rng.choice([torch.nan, torch.inf, -torch.inf])
    return {**weights, name: value}


def with_kind(rng: random.Random, weights: Weights) -> Weights:
    name = chosen(rng, weights)
    kinds = [torch.int64, torch.int8, torch.bool, torch.complex64, torch.uint8]
    return {**weights, name: weights[name].to(rng.choice(kinds))}


def with_count_as_float(rng: random.Random, weights: Weights) -> Weights:
    name = next(n for n in weights if n.endswith("num_batches_tracked"))
    return {**weights, name: weights[name].to(rng.choice([torch.float32, torch.bool]))}


def with_shape(rng: random.Random, weights: Weights) -> Weights:
    name = chosen(rng, weights)
    value = weights[name]
    shapes = [value[:1], value.flatten()[:1], value.unsqueeze(0), torch.cat([value, value])]
    return {**weights, name: rng.choice([x for x in shapes if x.shape != value.shape])}


def with_name(rng: random.Random, weights: Weights) -> Weights:
    name = chosen(rng, weights)
    new = rng.choice([f"{name}_", name.upper(), f"teacher.{name}", "", name[::-1]])
    return {(new if n == name else n): value for n, value in weights.items()}


def without(rng: random.Random, weights: Weights) -> Weights:
    names = set(rng.sample(sorted(weights), rng.randint(1, len(weights))))
    return {n: value for n, value in weights.items() if n not in names}


def with_more(rng: random.Random, weights: Weights) -> Weights:
    return {**weights, f"more.{rng.random()}": torch.ones(rng.randint(1, 4))}


def of_another_network(rng: random.Random, weights: Weights) -> Weights:
    found: Weights = rng.choice([nn.Linear(2, 3), NgramNet(CLASSES + 1)]).state_dict()
    return found


def with_negative_variance(rng: random.Random, weights: Weights) -> Weights:
    name = next(n for n in weights if n.endswith("running_var"))
    return {**weights, name: -weights[name] - rng.random()}


OF_WEIGHTS: list[Callable[[random.Random, Weights], Weights]] = [
    with_value,
    with_kind,
    with_count_as_float,
    with_shape,
    with_name,
    without,
    with_more,
    of_another_network,
    with_negative_variance,
]


# Damage of bytes, of any file.


def truncated(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.choice([0, 1, rng.randrange(len(data))])]


def flipped(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwritten(rng: random.Random, data: bytes) -> bytes:
    start, size = rng.randrange(len(data)), rng.randint(1, 64)
    return data[:start] + rng.randbytes(size) + data[start + size :]


def of_another_format(rng: random.Random, data: bytes) -> bytes:
    return rng.choice([b"<html>404</html>", b"{}", b"PK\x03\x04" + data[4:60], rng.randbytes(99)])


OF_BYTES = [truncated, flipped, overwritten, of_another_format]


# Damage of config.json.


def config(rng: random.Random, text: str) -> str:
    """Another description: of code, of a huge network, of other sizes, or torn."""
    content = json.loads(text)
    spec = content["network"]
    huge = 10 ** rng.randint(9, 15)
    choices: list[Any] = [
        text[: rng.randrange(len(text))],
        "[" * 100_000,
        {**content, "network": {**spec, "class_path": "os.system", "init_args": {"command": "x"}}},
        {**content, "network": {**spec, "init_args": {"num_classes": huge}}},
        {**content, "network": {**spec, "init_args": {"num_classes": CLASSES + 1}}},
        {**content, "network": {**spec, "init_args": {"num_classes": rng.choice([-1, "x", None])}}},
        {**content, "network": {**spec, "init_args": {"nonsense": 1}}},
        {**content, "network": {"class_path": "torch.nn.Linear", "init_args": [huge, huge]}},
        {**content, "network": {"class_path": "../../etc/passwd"}},
        {**content, "network": rng.choice([None, [], 5, "NgramNet", {}])},
        {key: value for key, value in content.items() if key != "network"},
        [content],
    ]
    wanted = rng.choice(choices)
    return wanted if isinstance(wanted, str) else json.dumps(wanted)


# The ways to read, each returns the weights that were read.


def pretrained(folder: Path) -> dict[str, Tensor]:
    model = PretrainedModel(net(), folder / "a.ckpt")
    model.load()
    return model.model.state_dict()


def module(folder: Path) -> dict[str, Tensor]:
    """As resuming and testing load the weights of a checkpoint that torch can read."""
    made = UnimodalModule(net(), "text")
    made.load_state_dict(torch.load(folder / "a.ckpt", weights_only=True)["state_dict"])
    return made.model.state_dict()


def student(folder: Path) -> dict[str, Tensor]:
    return load_student(folder).state_dict()


def given(folder: Path) -> dict[str, Tensor]:
    return load_student(folder, network=net()).state_dict()


def hub(folder: Path) -> dict[str, Tensor]:
    return ExportedStudent.from_pretrained(folder).network.state_dict()


FOLDER = ("model.safetensors", "config.json")
NAMED = {
    "pretrained": ("checkpoint='",),
    "module": ("the state dict",),
    "student": FOLDER,
    "given": FOLDER,
    "hub": FOLDER,
}
"""Way to read -> what an error must name, unless it is about a part of the description."""


def damage(rng: random.Random, folder: Path, way: Callable[..., Any]) -> str:
    """Damage one of the files that this way reads; return what was done."""
    path = folder / ("a.ckpt" if way in (pretrained, module) else "model.safetensors")
    kind = rng.choice(("weights", "bytes", "json"))
    if kind == "json" and way in (student, hub):
        (folder / "config.json").write_text(config(rng, (folder / "config.json").read_text()))
        return "config"
    if kind != "bytes" or way is module:
        of_weights = rng.choice(OF_WEIGHTS)
        write(path, of_weights(rng, net().state_dict()))
        return of_weights.__name__
    of_bytes = rng.choice(OF_BYTES)
    path.write_bytes(of_bytes(rng, path.read_bytes()))
    return of_bytes.__name__


def outcome(way: Callable[[Path], dict[str, Tensor]], folder: Path, whole: Weights) -> str:
    try:
        found = way(folder)
    except (ValueError, FileNotFoundError) as error:
        named = (*NAMED[way.__name__], "the network is", "cannot be built from", "class_path")
        return "rejected" if any(name in str(error) for name in named) else f"obscure: {error}"
    except Exception as error:  # what the test is to find
        return f"obscure: {type(error).__name__}: {error}"
    # Bytes that hold nothing, such as padding or the archive's dates, may change.
    if found.keys() == whole.keys() and all(torch.equal(found[n], whole[n]) for n in whole):
        return "meaningful"
    return "silent"


@pytest.fixture
def whole(tmp_path: Path) -> Weights:
    """Weights, and a function's folder of the files that hold them."""
    torch.manual_seed(0)
    network = net()
    spec = {"class_path": "fdkd_lightning.NgramNet", "init_args": {"num_classes": CLASSES}}
    (tmp_path / "config.json").write_text(json.dumps({"network": spec, "modality": "text"}))
    save_weights(network, tmp_path / "model.safetensors")
    write(tmp_path / "a.ckpt", network.state_dict())
    return network.state_dict()


def test_no_damaged_file_is_loaded_without_a_word(tmp_path: Path, whole: Weights) -> None:
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for way in (pretrained, module, student, given, hub):
        assert outcome(way, tmp_path, whole) == "meaningful"
    rng, counts, wrong = random.Random(0), Counter[str](), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in range(CASES):
            for path, content in files.items():
                path.write_bytes(content)
            way = (pretrained, module, student, given, hub)[case % 5]
            done = damage(rng, tmp_path, way)
            found = outcome(way, tmp_path, whole)
            counts[found.partition(":")[0]] += 1
            if not found.startswith(("rejected", "meaningful")):
                wrong.append(f"{case} {done} {way.__name__}: {found[:300]}")
    print(dict(counts))
    assert not [entry for entry in wrong if ": silent" in entry], wrong
    assert counts["obscure"] <= 0.02 * CASES, wrong
    assert counts["rejected"] > 0.8 * CASES
