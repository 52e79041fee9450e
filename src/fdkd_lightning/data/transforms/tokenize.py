"""Tokenization with a tokenizer of the transformers library."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fdkd_lightning.data.transforms.texts import check_texts
from fdkd_lightning.ops.checks import check_count


class Tokenize(nn.Module):
    """Tokenize texts and pad them to the longest of the batch.

    The tokenizer is loaded when the first text arrives, so that a configuration can be parsed
    without access to the hub. It must be the tokenizer of the model that receives the tokens.
    Padding is at the end, whatever the padding side of the tokenizer. A text without any token,
    such as the empty text with some tokenizers, becomes one padding token with attention mask 1,
    as a model needs at least one position to attend to.

    Args:
        tokenizer: Name on the hub, such as ``google-bert/bert-base-uncased``, or a local folder
            with the files of the tokenizer.
        max_length: Largest number of tokens of a text, special tokens included; longer texts are
            truncated.

    Shape:
        - texts: N strings
        - output["input_ids"]: [N, L] int64
        - output["attention_mask"]: [N, L] int64, 0 at padding

    Raises:
        ValueError: If ``max_length`` is below 1, or there are no texts.
        TypeError: If the input is not a list of strings, or an argument has another type.
        OSError: When the first text arrives, if the tokenizer cannot be loaded.

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

    device_marker: Tensor

    def __init__(self, tokenizer: str, max_length: int = 128) -> None:
        super().__init__()
        if not isinstance(tokenizer, str) or not tokenizer:
            raise TypeError(
                f"tokenizer={tokenizer!r} must be a name on the hub or a folder, such as "
                "'google-bert/bert-base-uncased'"
            )
        check_count("max_length", max_length, example=128)
        self.tokenizer = tokenizer
        self.max_length = max_length
        self._tokenizer: Any = None
        # Strings have no device: this buffer moves with the module and shows where it is.
        self.register_buffer("device_marker", torch.empty(0), persistent=False)

    def forward(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Return token ids and attention mask."""
        check_texts("Tokenize", texts)
        if not texts:
            raise ValueError("texts is empty: give at least one text")
        if self._tokenizer is None:
            self._tokenizer = self._load()
        encoded = self._tokenizer(list(texts), truncation=True, max_length=self.max_length)
        # The tokenizer's own padding would need a padding token, and pads on its own side.
        padding = self._tokenizer.pad_token_id or 0
        rows = [torch.tensor(ids or [padding]) for ids in encoded["input_ids"]]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding)
        length = torch.tensor([len(row) for row in rows]).unsqueeze(1)
        mask = (torch.arange(ids.shape[1]) < length).long()
        device = self.device_marker.device
        return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}

    def _load(self) -> Any:
        # transformers is slow to import and needed for texts alone.
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(self.tokenizer, trust_remote_code=False)
        except OSError as error:
            raise OSError(
                f"tokenizer={self.tokenizer!r} cannot be loaded ({error}): pass a folder with its "
                "files or a name on the hub. A tokenizer that was loaded once with access to the "
                "hub stays in its cache (HF_HOME)"
            ) from error
