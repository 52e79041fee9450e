"""A network for text that is trained from scratch: embeddings of character n-grams."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fdkd_lightning.ops.checks import check_count, check_range
from fdkd_lightning.types import Output

SPACE = 33
"""Token of a space: its byte, 32, plus 1."""


class NgramNet(nn.Module):
    r"""Mean of learned embeddings of a text's character n-grams, as in fastText.

    Every run of *n* bytes, within words and across spaces, is hashed to one of ``buckets``
    embeddings; the start and end of the text count as a space. So a word that is not in the
    training set still shares n-grams with known words, which makes this a strong model for few
    texts. The mean embedding of each text goes through BatchNorm, which gives the features, then
    through ReLU and dropout to the classifier.

    Args:
        num_classes: Number of classes K.
        width: Number of features D.
        ngrams: Lengths of the n-grams in bytes, each at least 3.
        buckets: Number of embeddings; n-grams with the same hash share one.
        dropout: Dropout probability before the classifier.

    Shape:
        - tokens: [N, L] int64; byte b is token b + 1, and 0 is padding, as
          :class:`~fdkd_lightning.data.ByteTokens` returns them
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
            check_count(name, value)
        check_range("dropout", dropout, 0, 1, example=0.2)
        if not ngrams:
            raise ValueError("ngrams=[] must be one or more lengths, for example [3, 4, 5]")
        for length in ngrams:
            check_count("ngrams", length, 3, example=3)
        self.ngrams = tuple(ngrams)
        self.buckets = buckets
        self.embedding = nn.Embedding(buckets, width)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, tokens: Tensor) -> Output:
        """Return features and logits."""
        if not isinstance(tokens, Tensor) or tokens.dtype != torch.int64 or tokens.ndim != 2:
            got = f"{tokens.dtype} {list(tokens.shape)}" if isinstance(tokens, Tensor) else tokens
            raise TypeError(
                f"the tokens are {got!r:.60}: give int64 [N, L], as the transform "
                "fdkd_lightning.data.ByteTokens returns"
            )
        ids, valid = hashed_ngrams(tokens, self.ngrams, self.buckets)
        weight = valid[..., None].to(self.embedding.weight.dtype)
        total = (self.embedding(ids) * weight).sum(1)
        features = self.norm(total / weight.sum(1).clamp(min=1))
        return Output(features, self.fc(self.dropout(features.relu())))


def hashed_ngrams(tokens: Tensor, lengths: Sequence[int], buckets: int) -> tuple[Tensor, Tensor]:
    """Return the bucket of each n-gram, and whether the n-gram lies within its text.

    Shape:
        - tokens: [N, L]
        - output: [N, L'] int64 from 0 to ``buckets`` - 1, and [N, L'] bool
    """
    ids, valid = [], []
    for n in lengths:
        # A space before and after, and padding so that even the shortest batch has one n-gram.
        padded = nn.functional.pad(tokens, (1, max(1, n - 1 - tokens.shape[1])))
        runs = padded.unfold(1, n, 1)
        valid.append((runs[..., 1:-1] > 0).all(-1))
        runs = runs.where(runs > 0, SPACE)
        value = torch.full_like(runs[..., 0], n)
        for j in range(n):
            # A linear congruential step modulo 2^31 - 1; the product fits into int64.
            value = (value * 1_103_515_245 + runs[..., j]) % 2_147_483_647
        ids.append(value % buckets)
    return torch.cat(ids, 1), torch.cat(valid, 1)
