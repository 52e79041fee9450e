"""Divergence between two networks' similarities of rows to keys, as CIRKD compares them."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from fdkd_lightning.ops.divergence import kl_divergence

LARGEST = 2**25
"""Similarities that are held at once; more rows are done in turn, and computed again for the
gradient."""


def similarity_kl(
    student: Tensor,
    teacher: Tensor,
    student_keys: Tensor,
    teacher_keys: Tensor,
    temperature: float = 0.1,
    key_mask: Tensor | None = None,
    largest: int = LARGEST,
) -> Tensor:
    r"""KL divergence of each row's similarities to each group of keys.

    .. math::
        d_{rg} = \mathrm{KL}\big(\mathrm{softmax}_q(v^t_r \cdot k^t_{gq} / \tau) \,\|\,
        \mathrm{softmax}_q(v^s_r \cdot k^s_{gq} / \tau)\big)

    Rows and keys are used as they are: normalise them first. Memory is bounded by ``largest``, not
    by the number of similarities.

    Args:
        student: The student's rows v.
        teacher: The teacher's rows; they get no gradient.
        student_keys: The keys k that the student's rows are compared with.
        teacher_keys: The keys that the teacher's rows are compared with; they get no gradient.
        temperature: Tau, above 0.
        key_mask: The keys that take part; None: all. A group without any has a meaningless value.
        largest: The number of similarities that are held at once.

    Shape:
        - student: [R, D]; teacher: [R, D'], D' may differ from D
        - student_keys: [G, Q, D]; teacher_keys: [G, Q, D']
        - key_mask: [G, Q], bool
        - output: [R, G]

    Reference:
        C. Yang et al., CIRKD (arXiv 2204.06986).

    Example:
        >>> rows = torch.eye(3)
        >>> similarity_kl(rows, 7 * rows, rows[None], rows[None] / 7)
        tensor([[0.],
                [0.],
                [0.]])
    """
    teacher, teacher_keys = teacher.detach(), teacher_keys.detach()
    groups, keys = student_keys.shape[:2]
    if not len(student) or not groups * keys:
        # No similarities, but a gradient of zero.
        nothing = student.sum() + student_keys.sum()
        return nothing.expand(len(student), groups)
    if key_mask is not None:
        key_mask = key_mask | ~key_mask.any(1, keepdim=True)
    fixed = (student_keys, teacher_keys, temperature, key_mask)
    rows = max(largest // (groups * keys), 1)
    if rows >= len(student):
        return _divergence(student, teacher, *fixed)
    parts = zip(torch.split(student, rows), torch.split(teacher, rows), strict=True)
    return torch.cat(
        [
            checkpoint(_divergence, *part, *fixed, use_reentrant=False, preserve_rng_state=False)
            for part in parts
        ]
    )


def _divergence(
    student: Tensor,
    teacher: Tensor,
    student_keys: Tensor,
    teacher_keys: Tensor,
    temperature: float,
    key_mask: Tensor | None,
) -> Tensor:
    logs = []
    for rows, keys in ((student, student_keys), (teacher, teacher_keys)):
        # Autocast would compute the products in bf16.
        with torch.autocast(rows.device.type, enabled=False):
            products = rows @ keys.flatten(0, 1).T
        similarity = products.view(len(rows), *keys.shape[:2]) / temperature
        if key_mask is not None:
            similarity = similarity.masked_fill(~key_mask, -torch.inf)
        logs.append(F.log_softmax(similarity, dim=2).movedim(2, 1))
    return kl_divergence(logs[0], logs[1], reduction="none")
