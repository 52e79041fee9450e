"""All statistics of the features of a teacher and a student over their pairs."""

from dataclasses import dataclass
from statistics import mean

import torch
from torch import Tensor

from fdkd_lightning.analysis.cka import linear_cka
from fdkd_lightning.analysis.folds import LEAST, make_folds
from fdkd_lightning.analysis.ridge import SHUFFLES, ridge_r2
from fdkd_lightning.analysis.row_checks import check_groups, check_paired
from fdkd_lightning.analysis.shuffle import shuffled_within
from fdkd_lightning.analysis.similarity import Similarity, band_similarity

FOLDS = 5
MIN_PAIRS = 2 * FOLDS
"""Fewer would be one pair to a fold."""


@dataclass(frozen=True)
class PairStatistics:
    """Agreement of two modalities' features over pairs.

    Args:
        pairs: Number of pairs.
        groups: Number of groups, such as people; None: not known.
        r2: R² of the student's features from the teacher's, class means removed, where the rows of
            each class are spread over five folds.
        r2_shuffled: The same for each shuffle of the pairs within their class.
        r2_shuffled_in_groups: The same for each shuffle within class and group; None: no groups.
            What is left of the R² there comes from the group, not from the pair.
        r2_reverse: R² of the teacher's features from the student's.
        r2_reverse_shuffled: The same for each shuffle.
        r2_new_groups: As ``r2``, where each group is predicted from other groups; None: there are
            fewer than three.
        r2_new_groups_shuffled: The same for each shuffle.
        cka: Linear CKA.
        cka_shuffled: Its mean over the shuffles.
        bands: Band similarities without the mean (DC); None: the widths differ, as below.
        bands_with_dc: Band similarities with the mean (DC).
        bands_permuted: Those without, for each permutation of the channels, the same for both.
    """

    pairs: int
    groups: int | None
    r2: float
    r2_shuffled: tuple[float, ...]
    r2_shuffled_in_groups: tuple[float, ...] | None
    r2_reverse: float
    r2_reverse_shuffled: tuple[float, ...]
    r2_new_groups: float | None
    r2_new_groups_shuffled: tuple[float, ...] | None
    cka: float
    cka_shuffled: float
    bands: Similarity | None
    bands_with_dc: Similarity | None
    bands_permuted: tuple[Similarity, ...]


def compare_pairs(
    teacher: Tensor,
    student: Tensor,
    label: Tensor,
    groups: Tensor | None = None,
    threshold: float = 0.5,
    seed: int = 0,
) -> PairStatistics:
    """Compute all statistics of paired features.

    Two questions are apart. Does a pair hold more than its class? Then the teacher can tell the
    student something about these samples. There the folds spread the rows of each class, and what
    is the same in all samples of a group, such as a person's size, counts. And does it hold for
    groups that no map was fitted to? There the folds keep each group whole.

    Args:
        teacher: Features of the teacher.
        student: Features of the student; row i is paired with row i of ``teacher``.
        label: Class of each pair.
        groups: Group of each pair, such as its person; None: pairs are independent.
        threshold: Cut-off frequency of the bands.
        seed: Seed of folds, shuffles and permutations.

    Shape:
        - teacher: [N, D]
        - student: [N, D'], another width or the same
        - label, groups: [N] int64

    Raises:
        ValueError: If there are fewer than ten pairs.
        TypeError, ValueError: As :func:`make_folds`, :func:`ridge_r2` and :func:`linear_cka`.

    Example:
        >>> features, label = torch.randn(60, 4), torch.arange(60) % 3
        >>> found = compare_pairs(features, features.flip(1), label)
        >>> round(found.r2, 4), round(found.cka, 4), found.r2_new_groups
        (1.0, 1.0, None)
    """
    teacher, student = check_paired(teacher, student, ("teacher", "student"))
    where = f"teacher of shape {list(teacher.shape)}"
    classes = check_groups("label", label, len(teacher), where)
    if len(label) < MIN_PAIRS:
        raise ValueError(
            f"teacher and student have {len(label)} pairs with a label: give at least {MIN_PAIRS}, "
            "in the training and validation splits together"
        )
    spread = make_folds(label, None, FOLDS, seed)
    forth = ridge_r2(teacher, student, label, spread, SHUFFLES, seed)
    back = ridge_r2(student, teacher, label, spread, SHUFFLES, seed)
    count = None if groups is None else len({*groups.tolist()})
    new_groups = in_groups = None
    if groups is not None:
        numbers = check_groups("groups", groups, len(label), f"label of shape {[len(label)]}")
        cells = classes * len(label) + numbers
        in_groups = ridge_r2(teacher, student, label, spread, SHUFFLES, seed, cells).shuffled
    if count is not None and count >= LEAST:
        whole = make_folds(label, groups, min(FOLDS, count), seed)
        new_groups = ridge_r2(teacher, student, label, whole, SHUFFLES, seed)
    generator = torch.Generator().manual_seed(seed)
    orders = [shuffled_within(label, generator) for _ in range(SHUFFLES)]
    similarities: list[Similarity] = []
    if teacher.shape[1] == student.shape[1]:
        channels = [torch.randperm(teacher.shape[1], generator=generator) for _ in range(SHUFFLES)]
        similarities = [
            band_similarity(teacher, student, threshold, keep_dc=True),
            band_similarity(teacher, student, threshold),
            *(band_similarity(teacher[:, c], student[:, c], threshold) for c in channels),
        ]
    return PairStatistics(
        pairs=len(label),
        groups=count,
        r2=forth.paired,
        r2_shuffled=forth.shuffled,
        r2_shuffled_in_groups=in_groups,
        r2_reverse=back.paired,
        r2_reverse_shuffled=back.shuffled,
        r2_new_groups=None if new_groups is None else new_groups.paired,
        r2_new_groups_shuffled=None if new_groups is None else new_groups.shuffled,
        cka=linear_cka(teacher, student),
        cka_shuffled=mean(linear_cka(teacher, student[order]) for order in orders),
        bands=similarities[1] if similarities else None,
        bands_with_dc=similarities[0] if similarities else None,
        bands_permuted=tuple(similarities[2:]),
    )
