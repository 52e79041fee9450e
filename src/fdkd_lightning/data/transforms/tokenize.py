"""Texts as tokens."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fdkd_lightning.ops.checks import check_range


class Tokenize(nn.Module):
    """Texts as the numbers of their tokens, filled up to the longest of the batch.

    The tokenizer is read when the first text comes, so that a configuration can be read where the
    hub cannot be reached. It must be that of the network that gets the tokens. Padding stands at
    the end, whatever the tokenizer's own habit. A text without any token, such as the empty one of
    some tokenizers, gets one of padding that counts: a network needs something to look at.

    Args:
        tokenizer: A name on the hub, such as ``google-bert/bert-base-uncased``, or a local folder
            with the tokenizer's files.
        max_length: Most tokens of a text, those of its beginning and end included; the rest is cut
            off.

    Shape:
        - texts: N strings
        - output["input_ids"]: [N, L] int64
        - output["attention_mask"]: [N, L] int64, 0 where there is padding

    Raises:
        ValueError: If ``max_length`` is below 1.
        TypeError: If it is given anything but a list of strings.
        OSError: With the first text, if the tokenizer cannot be read.

    Example:
        >>> from tempfile import mkdtemp
        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> from transformers import PreTrainedTokenizerFast
        >>> words = Tokenizer(models.WordLevel({"[PAD]": 0, "a": 1, "dog": 2}, unk_token="[PAD]"))
        >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> folder = mkdtemp()
        >>> fast = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]")
        >>> _ = fast.save_pretrained(folder)
        >>> Tokenize(folder)(["a dog", "dog"])["input_ids"].tolist()
        [[1, 2], [2, 0]]
    """

    device: Tensor

    def __init__(self, tokenizer: str, max_length: int = 128) -> None:
        super().__init__()
        check_range("max_length", max_length, 1)
        self.tokenizer = tokenizer
        self.max_length = max_length
        self._tokenizer: Any = None
        # Tells where the batch is.
        self.register_buffer("device", torch.empty(0), persistent=False)

    def forward(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """The tokens' numbers, and which are tokens."""
        if not isinstance(texts, list | tuple) or not all(isinstance(t, str) for t in texts):
            raise TypeError(
                f"Tokenize takes a list of strings, but got {type(texts).__name__}"
                + (f" of {type(texts[0]).__name__}" if isinstance(texts, list | tuple) else "")
                + ": let the data load texts (TextRecipe) for this modality"
            )
        if self._tokenizer is None:
            self._tokenizer = self._read()
        encoded = self._tokenizer(list(texts), truncation=True, max_length=self.max_length)
        padding = self._tokenizer.pad_token_id or 0
        rows = [torch.tensor(ids or [padding]) for ids in encoded["input_ids"]]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding)
        length = torch.tensor([len(row) for row in rows]).unsqueeze(1)
        mask = (torch.arange(ids.shape[1]) < length).long()
        device = self.device.device
        return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}

    def _read(self) -> Any:
        # Heavy, and for texts alone.
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(self.tokenizer, trust_remote_code=False)
        except OSError as error:
            raise OSError(
                f"tokenizer={self.tokenizer!r} cannot be read ({error}): give a folder with its "
                "files, or a name on the hub; run once where the hub can be reached, and it is "
                "kept in its cache (HF_HOME)"
            ) from error
