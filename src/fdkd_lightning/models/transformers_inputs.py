"""Inputs of transformers' networks: named, checked, and in the order of dimensions they expect."""

from typing import Any

from torch import Tensor

SPECTROGRAM = "audio-spectrogram-transformer"


def takes_spectrograms(net: Any) -> bool:
    """Return whether a network is an Audio Spectrogram Transformer."""
    return bool(net.config.model_type == SPECTROGRAM)


def named_inputs(net: Any, source: str, x: Any) -> dict[str, Tensor]:
    """Return the keyword arguments of a network's forward pass.

    Shape:
        - x: as :class:`~fdkd_lightning.TransformersModel` takes it
        - output: tokens [N, L], waveforms [N, S], spectrograms [N, T, F] or images [N, C, H, W]
    """
    name, config = net.main_input_name, net.config
    text = name == "input_ids"
    inputs = {name: x} if isinstance(x, Tensor) and not text else x
    if not isinstance(inputs, dict) or name not in inputs:
        found = f"a dict of {', '.join(x)}" if isinstance(x, dict) else type(x).__name__
        remedy = (
            "give the data the transform fdkd_lightning.data.Tokenize for this modality"
            if text
            else f"give a tensor, or a dict of {name} and attention_mask, all of one length"
        )
        raise ValueError(f"{source!r} takes {name}, but got {found}: {remedy}")
    values = inputs[name]
    if text:
        limit = getattr(config, "max_position_embeddings", None)
        if limit is not None and values.shape[1] > limit:
            raise ValueError(
                f"texts of {values.shape[1]} tokens are longer than the {limit} positions of "
                f"{source!r}: set max_length={limit} of Tokenize, or less"
            )
    elif takes_spectrograms(net):
        values = values.squeeze(1) if values.ndim == 4 else values
        size = [config.num_mel_bins, config.max_length]
        if list(values.shape[1:]) != size:
            raise ValueError(
                f"{source!r} takes spectrograms [N, F, T] with F, T = {size}, but got "
                f"{list(inputs[name].shape)}: set n_mels and length of KaldiFbank to these"
            )
        values = values.transpose(1, 2)
    elif values.ndim != (2 if name == "input_values" else 4):
        shape = "waveforms [N, S]" if name == "input_values" else "images [N, C, H, W]"
        raise ValueError(
            f"{source!r} takes {shape}, but got {list(values.shape)}"
            + (": use TimmModel for frames" if values.ndim == 5 else "")
        )
    return {**inputs, name: values}


def check_vocabulary(net: Any, source: str, inputs: dict[str, Tensor]) -> None:
    """Raise if a token is not in the network's vocabulary; reading the values costs a sync."""
    if net.main_input_name != "input_ids":
        return
    largest = int(inputs["input_ids"].max())
    if largest >= net.config.vocab_size:
        raise ValueError(
            f"a token's number is {largest}, but {source!r} has {net.config.vocab_size} tokens: "
            f"give Tokenize the tokenizer {source!r}"
        )
