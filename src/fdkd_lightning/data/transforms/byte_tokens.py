"""Text as bytes: tokens that need no vocabulary."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

PADDING = 0
"""Behind the end of a text; byte b is token b + 1."""


class ByteTokens(nn.Module):
    """Texts as the bytes of their UTF-8, on the module's device.

    Byte b is token b + 1; 0 pads the shorter texts of a batch at their end. Nothing is learned or
    downloaded, and nothing is unknown to it.

    Args:
        max_length: Bytes that are kept of a text, from its beginning.

    Shape:
        - texts: N strings
        - output: [N, L] int64, L that of the longest text, from 1 to ``max_length``

    Raises:
        ValueError: If ``max_length`` is below 1.
        TypeError: If an entry is not a string.

    Example:
        >>> ByteTokens()(["hi", "you"]).tolist()
        [[105, 106, 0], [122, 112, 118]]
    """

    device_of: Tensor

    def __init__(self, max_length: int = 256) -> None:
        super().__init__()
        if max_length < 1:
            raise ValueError(f"max_length={max_length} must be at least 1")
        self.max_length = max_length
        # Strings have no device: what is moved with the module tells it.
        self.register_buffer("device_of", torch.empty(0), persistent=False)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """The tokens."""
        if isinstance(texts, str):
            raise TypeError(f"ByteTokens takes a list of strings, not one, {texts!r:.40}")
        for text in texts:
            if not isinstance(text, str):
                raise TypeError(
                    f"ByteTokens takes strings, not {type(text).__name__}: give it a modality "
                    "whose samples are text, not tokenised yet"
                )
        encoded = [text.encode()[: self.max_length] for text in texts]
        length = max([1, *map(len, encoded)])
        rows = [[byte + 1 for byte in text] + [PADDING] * (length - len(text)) for text in encoded]
        return torch.tensor(rows, dtype=torch.int64, device=self.device_of.device)
