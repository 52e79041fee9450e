"""Configurations of small networks of transformers, and inputs for them."""

from typing import Any

import torch
import transformers
from torch import Tensor, nn

SIZES = {
    "hidden_size": 8,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    # As after training: 0.02 would leave all tokens alike.
    "initializer_range": 0.5,
}
CONFIGS = {
    "bert": transformers.BertConfig(vocab_size=30, max_position_embeddings=20, **SIZES),
    "llama": transformers.LlamaConfig(vocab_size=30, max_position_embeddings=200, **SIZES),
    "wav2vec2": transformers.Wav2Vec2Config(
        conv_dim=(8, 8),
        conv_stride=(5, 2),
        conv_kernel=(10, 3),
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
        mask_time_length=2,
        layerdrop=0.9,
        **SIZES,
    ),
    "ast": transformers.ASTConfig(
        num_mel_bins=16, max_length=24, patch_size=8, frequency_stride=8, time_stride=8, **SIZES
    ),
    "vit": transformers.ViTConfig(image_size=16, patch_size=8, **SIZES),
}
TEXTS = ("bert", "llama")


def tokens(*lengths: int, total: int = 6) -> dict[str, Tensor]:
    """Texts of these lengths; what stands in the padding changes with the total."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 30, (len(lengths), 6), generator=generator)
    ids = nn.functional.pad(ids, (0, total - 6), value=total)
    mask = torch.arange(total) < torch.tensor(lengths).unsqueeze(1)
    return {"input_ids": ids.where(mask, total), "attention_mask": mask.long()}


def example(kind: str) -> Any:
    if kind in TEXTS:
        return tokens(6, 4)
    shape = {"wav2vec2": (2, 400), "ast": (2, 1, 16, 24), "vit": (2, 3, 16, 16)}[kind]
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))
