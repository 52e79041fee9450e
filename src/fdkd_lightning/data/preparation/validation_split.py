"""Draw a validation split from the training samples."""

import hashlib
from collections import Counter
from collections.abc import Sequence

from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.ops.checks import check_range


def add_validation_split(
    samples: list[Sample], fraction: float | None, default: float | None, seed: int
) -> list[Sample]:
    """Draw a validation split if a data set has none.

    Args:
        samples: All samples of a data set.
        fraction: Fraction of the training samples; None: ``default`` if there is no validation
            split.
        default: Fraction if ``fraction`` is None; None: no draw.
        seed: Seed of the draw.

    Raises:
        ValueError: If ``fraction`` is given for a data set with a validation split, or nothing can
            be drawn.

    Example:
        >>> samples = [Sample("a", "train", "", {}), Sample("b", "val", "", {})]
        >>> add_validation_split(samples, None, default=0.5, seed=0) == samples
        True
    """
    has_validation = any(sample.split == "val" for sample in samples)
    if fraction is None and not has_validation:
        fraction = default
    if fraction is None:
        return samples
    if has_validation:
        raise ValueError(
            f"val_fraction={fraction}, but the data set has a validation split: remove "
            "val_fraction, or rename that split to train"
        )
    return draw_validation(samples, fraction, seed)


def draw_validation(samples: Sequence[Sample], fraction: float, seed: int) -> list[Sample]:
    """Move a fraction of the training samples to the validation split.

    Without groups, the same fraction of each class moves. With groups, whole groups move until the
    fraction is reached, regardless of class. The draw depends on the seed and the ids (or groups)
    alone, not on the order of the samples.

    Returns:
        The samples in the same order.

    Raises:
        ValueError: If ``fraction`` is out of range, no sample or all samples would move, or some
            training samples have a group and others have none.

    Example:
        >>> samples = [Sample(str(i), "train", "ab"[i % 2], {}) for i in range(20)]
        >>> sorted(s.label for s in draw_validation(samples, 0.1, seed=0) if s.split == "val")
        ['a', 'b']
    """
    check_range("val_fraction", fraction, above=0, below=1)
    train = [sample for sample in samples if sample.split == "train"]

    def draw_key(name: str) -> bytes:
        return hashlib.sha256(f"{seed}:{name}".encode()).digest()

    drawn: set[str] = set()
    if any(sample.group for sample in train):
        ungrouped = next((sample for sample in train if not sample.group), None)
        if ungrouped is not None:
            raise ValueError(f"{ungrouped.where}: the group is empty, but other samples have one")
        sizes = Counter(sample.group for sample in train)
        groups: set[str] = set()
        count = 0
        for group in sorted(sizes, key=draw_key):
            if count >= fraction * len(train):
                break
            groups.add(group)
            count += sizes[group]
        drawn = {sample.id for sample in train if sample.group in groups}
    else:
        for label in {sample.label for sample in train}:
            ids = sorted((sample.id for sample in train if sample.label == label), key=draw_key)
            drawn.update(ids[: round(fraction * len(ids))])
    if not 0 < len(drawn) < len(train):
        raise ValueError(
            f"val_fraction={fraction} draws {len(drawn)} of {len(train)} training samples: "
            "choose another fraction, or provide more samples or groups"
        )
    return [s._replace(split="val") if s.id in drawn else s for s in samples]
