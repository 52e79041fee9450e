from typing import Any

import pytest
import torch
from torch import Tensor

from fdkd_lightning.models.ngram_net import NgramNet, hashed_ngrams


def tokens(*texts: str) -> Tensor:
    length = max(len(text.encode()) for text in texts)
    rows = [[b + 1 for b in t.encode()] + [0] * (length - len(t.encode())) for t in texts]
    return torch.tensor(rows, dtype=torch.int64)


def ngrams(text: Tensor, lengths: tuple[int, ...] = (3,), buckets: int = 10**9) -> list[list[int]]:
    """The n-grams that are there, text by text."""
    ids, there = hashed_ngrams(text, lengths, buckets)
    return [row[mask].tolist() for row, mask in zip(ids, there, strict=True)]


def net(**arguments: Any) -> NgramNet:
    torch.manual_seed(0)
    return NgramNet(5, **{"width": 6, **arguments}).eval()


def test_the_ngrams_of_a_word_are_those_between_its_spaces() -> None:
    # " ab", "abc", "bcd", "cd " of each, with other words around.
    (alone,) = ngrams(tokens("abcd"))
    (between,) = ngrams(tokens("xy abcd z"))
    assert len(alone) == len(set(alone)) == 4
    assert set(alone) < set(between)
    (other,) = ngrams(tokens("bcda"))
    # "bcd" alone is common to both.
    assert len(set(alone) & set(other)) == 1


@pytest.mark.parametrize(
    ("text", "counts"), [("a", [1, 0, 0]), ("ab", [2, 1, 0]), ("abc", [3, 2, 1])]
)
def test_short_texts_have_what_fits_between_their_spaces(text: str, counts: list[int]) -> None:
    assert [len(ngrams(tokens(text), (n,))[0]) for n in (3, 4, 5)] == counts


def test_lengths_do_not_meet_by_design() -> None:
    (three,), (four,) = (ngrams(tokens("aaaaaaaa"), (n,)) for n in (3, 4))
    assert not set(three) & set(four)


def test_ngrams_spread_over_the_buckets() -> None:
    words = [f"{a}{b}{c}" for a in "abcdefghijklmnop" for b in "abcdefghijklmnop" for c in "qrst"]
    ids, there = hashed_ngrams(tokens(*words), (5,), 256)
    counts = torch.bincount(ids[there], minlength=256)
    assert there.sum() == 1024
    # Four each; at random hardly one bucket in a million has twenty.
    assert counts.max() < 20
    assert (counts > 0).sum() > 230


def test_padding_changes_nothing() -> None:
    model = net()
    alone = model(tokens("moon"))
    padded = model(tokens("moon", "a much longer name than that"))
    torch.testing.assert_close(padded.features[:1], alone.features)
    torch.testing.assert_close(padded.logits[:1], alone.logits)


def test_features_are_the_normalised_mean_of_the_embeddings() -> None:
    model = net(ngrams=(3,), buckets=50, dropout=0.0)
    torch.nn.init.normal_(model.norm.running_mean)
    torch.nn.init.uniform_(model.norm.running_var, 0.5, 2)
    (ids,) = ngrams(tokens("cat face"), (3,), 50)
    mean = model.embedding.weight[ids].mean(0)
    expected = (mean - model.norm.running_mean) / (model.norm.running_var + 1e-5).sqrt()
    output = model(tokens("cat face"))
    torch.testing.assert_close(output.features[0], expected)
    torch.testing.assert_close(output.logits[0], model.fc(expected.relu()))
    assert output.features.min() < 0


def test_an_empty_text_has_finite_features_of_no_embedding() -> None:
    model = net()
    output = model(torch.zeros(1, 4, dtype=torch.int64))
    assert output.features.isfinite().all()
    assert torch.equal(output.features, model.norm(torch.zeros(1, 6)))


def test_every_weight_gets_a_gradient() -> None:
    model = net(buckets=4).train()
    output = model(tokens("grinning face", "cat face", "honeybee"))
    output.logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_the_hash_is_the_same_for_ever() -> None:
    """Weights that are kept need the same buckets in another version and on another device."""
    ids, _ = hashed_ngrams(tokens("cat"), (3, 4, 5), 4096)
    assert ids.tolist() == [[3890, 1276, 3124, 11, 3348, 110]]


@pytest.mark.parametrize(
    "x", [torch.rand(2, 4), torch.zeros(4, dtype=torch.int64), ["a"], {"input_ids": None}]
)
def test_other_inputs_are_named(x: Any) -> None:
    with pytest.raises(TypeError, match=r"the tokens are .*give int64.*ByteTokens"):
        net()(x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width=0 must be at least 1"),
        ({"buckets": 0}, "buckets=0 must be at least 1"),
        ({"ngrams": ()}, r"ngrams=\[\] must be one or more lengths"),
        ({"ngrams": (2, 3)}, r"ngrams=2 must be at least 3"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        net(**arguments)
