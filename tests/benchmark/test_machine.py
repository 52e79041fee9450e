import torch

from fdkd_lightning.benchmark.machine import describe_machine, machine_text


def test_threads_and_cores_are_those_of_this_process() -> None:
    machine = describe_machine()
    assert machine["threads"] == torch.get_num_threads()
    assert machine["cores"] >= 1
    assert f"{machine['threads']} threads" in machine_text(machine)


def test_the_card_is_named() -> None:
    machine = {"processor": "X", "cores": 8, "threads": 8, "gpu": "NVIDIA H200", "load": None}
    assert machine_text(machine) == "X, 8 cores, 8 threads, NVIDIA H200"
