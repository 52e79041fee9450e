"""Byte-level tokens, which need no vocabulary."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fdkd_lightning.data.transforms.texts import check_texts
from fdkd_lightning.ops.checks import check_count

PADDING = 0
"""Token after the end of a text; byte b is token b + 1."""


class ByteTokens(nn.Module):
    """Tokenize texts into the bytes of their UTF-8 encoding.

    Byte b is token b + 1; token 0 pads the shorter texts of a batch at their end. Nothing is
    learned or downloaded, and there are no unknown tokens. The output is on the device of the
    module.

    Args:
        max_length: Number of bytes kept from the beginning of a text.

    Shape:
        - texts: N strings
        - output: [N, L] int64, L the length of the longest text, from 1 to ``max_length``

    Raises:
        ValueError: If ``max_length`` is below 1.
        TypeError: If the input is not a list of strings.

    Example:
        >>> ByteTokens()(["hi", "you"]).tolist()
        [[105, 106, 0], [122, 112, 118]]
    """

    device_marker: Tensor

    def __init__(self, max_length: int = 256) -> None:
        super().__init__()
        check_count("max_length", max_length, example=256)
        self.max_length = max_length
        # Strings have no device: this buffer moves with the module and shows where it is.
        self.register_buffer("device_marker", torch.empty(0), persistent=False)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Tokenize and pad the texts."""
        check_texts("ByteTokens", texts)
        encoded = [text.encode()[: self.max_length] for text in texts]
        length = max([1, *map(len, encoded)])
        rows = [[byte + 1 for byte in text] + [PADDING] * (length - len(text)) for text in encoded]
        return torch.tensor(rows, dtype=torch.int64, device=self.device_marker.device)
