"""The state of the random generators, in a form that a weights-only checkpoint can hold."""

import random
from typing import Any

import numpy as np
import torch

from fdkd_lightning.ops.distributed import gather_objects, world_size


def rng_states() -> list[dict[str, Any]]:
    """The state of this process's generators, of each process under DDP, by rank."""
    numpy: Any = np.random.get_state(legacy=True)  # noqa: NPY002 (others draw from it)
    algorithm, keys, *rest = numpy
    state = {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        # uint32 does not survive a weights-only load as an array; int64 tensors do.
        "numpy": (algorithm, torch.from_numpy(keys.astype(np.int64)), *rest),
        "python": random.getstate(),
    }
    return gather_objects(state)


def restore_rng_states(states: list[dict[str, Any]], rank: int) -> bool:
    """Set this process's generators as :func:`rng_states` found them.

    Returns:
        False, with nothing changed, where the number of processes is another one: then no state
        is this process's own.
    """
    if len(states) != world_size():
        return False
    state = states[rank]
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    algorithm, keys, *rest = state["numpy"]
    np.random.set_state((algorithm, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002 (as above)
    random.setstate(state["python"])
    return True
