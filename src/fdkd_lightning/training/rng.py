"""States of the random generators, in a form that a weights-only checkpoint can hold."""

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn

from fdkd_lightning.ops.distributed import gather_objects, world_size


def rng_states() -> list[dict[str, Any]]:
    """Return the states of torch, CUDA, NumPy and Python, one entry per rank."""
    numpy: Any = np.random.get_state(legacy=True)  # noqa: NPY002 (libraries draw from it)
    algorithm, keys, *rest = numpy
    state = {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        # A weights-only load refuses NumPy arrays; int64 tensors hold all values of uint32.
        "numpy": (algorithm, torch.from_numpy(keys.astype(np.int64)), *rest),
        "python": random.getstate(),
    }
    return gather_objects(state)


def restore_rng_states(states: list[dict[str, Any]], rank: int) -> None:
    """Restore this rank's generators to the states that :func:`rng_states` returned.

    If the number of ranks has changed, no state belongs to this rank: warn and change nothing.
    """
    if len(states) != world_size():
        rank_zero_warn(
            f"the checkpoint was written by {len(states)} ranks, but this run has "
            f"{world_size()}: it draws other random numbers"
        )
        return
    state = states[rank]
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    algorithm, keys, *rest = state["numpy"]
    np.random.set_state((algorithm, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002 (as above)
    random.setstate(state["python"])
