"""Networks for text that are trained from scratch."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fdkd_lightning.types import Output

SPACE = 33
"""The token of a space among those of bytes."""


class NgramNet(nn.Module):
    r"""The mean of learned embeddings of a text's character n-grams, normalised: a fastText.

    Every run of *n* bytes is hashed to one of ``buckets`` embeddings, within words and across the
    spaces between them; beginning and end of the text count as a space. So a word that training
    never saw still shares its parts with others, which makes this hard to beat where there are few
    texts. The batch's mean embedding goes through BatchNorm to the features, and through ReLU and
    dropout to the classifier.

    Args:
        num_classes: K.
        width: D.
        ngrams: Lengths of the n-grams, bytes, each at least 3.
        buckets: Embeddings; n-grams that meet in one share it.
        dropout: Share of the classifier's inputs that is dropped in training.

    Shape:
        - tokens: [N, L] int64: byte b is b + 1, and 0 is padding, as
          :class:`~fdkd_lightning.data.ByteTokens` gives them
        - features: [N, D]
        - logits: [N, K]

    Raises:
        ValueError: If an argument is out of range.
        TypeError: If the input is not an int64 tensor [N, L].

    Reference:
        A. Joulin et al., "Bag of Tricks for Efficient Text Classification", EACL 2017;
        P. Bojanowski et al., "Enriching Word Vectors with Subword Information", TACL 2017. Theirs
        has words beside the n-grams, and neither BatchNorm nor ReLU.

    Example:
        >>> tokens = torch.tensor([[105, 106, 0], [122, 112, 118]])  # "hi", "you"
        >>> output = NgramNet(num_classes=8)(tokens)
        >>> output.features.shape, output.logits.shape
        (torch.Size([2, 64]), torch.Size([2, 8]))
    """

    def __init__(
        self,
        num_classes: int,
        width: int = 64,
        ngrams: Sequence[int] = (3, 4, 5),
        buckets: int = 4096,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        for name, value in {"num_classes": num_classes, "width": width, "buckets": buckets}.items():
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        if not ngrams or min(ngrams) < 3:
            raise ValueError(f"ngrams={list(ngrams)} must be one or more lengths, each at least 3")
        self.ngrams = tuple(ngrams)
        self.buckets = buckets
        self.embedding = nn.Embedding(buckets, width)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, tokens: Tensor) -> Output:
        """Features and logits."""
        if not isinstance(tokens, Tensor) or tokens.dtype != torch.int64 or tokens.ndim != 2:
            got = f"{tokens.dtype} {list(tokens.shape)}" if isinstance(tokens, Tensor) else tokens
            raise TypeError(
                f"the tokens are {got!r:.60}: give int64 [N, L], such as the transform "
                "fdkd_lightning.data.ByteTokens makes of text"
            )
        ids, there = hashed_ngrams(tokens, self.ngrams, self.buckets)
        weight = there[..., None].to(self.embedding.weight.dtype)
        total = (self.embedding(ids) * weight).sum(1)
        features = self.norm(total / weight.sum(1).clamp(min=1))
        return Output(features, self.fc(self.dropout(features.relu())))


def hashed_ngrams(tokens: Tensor, lengths: Sequence[int], buckets: int) -> tuple[Tensor, Tensor]:
    """Each n-gram's bucket, and which of them are there: the others reach beyond their text.

    Shape:
        - tokens: [N, L]
        - output: [N, L'] int64 from 0 to ``buckets`` - 1, and [N, L'] bool
    """
    ids, there = [], []
    for n in lengths:
        # One space before and after; more padding, so that the shortest batch has one n-gram.
        padded = nn.functional.pad(tokens, (1, max(1, n - 1 - tokens.shape[1])))
        runs = padded.unfold(1, n, 1)
        there.append((runs[..., 1:-1] > 0).all(-1))
        runs = runs.where(runs > 0, SPACE)
        value = torch.full_like(runs[..., 0], n)
        for j in range(n):
            # A congruential step within 31 bits, whose product stays within 64.
            value = (value * 1_103_515_245 + runs[..., j]) % 2_147_483_647
        ids.append(value % buckets)
    return torch.cat(ids, 1), torch.cat(there, 1)
