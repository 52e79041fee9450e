import copy
import pickle
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from fdkd_lightning.data.transforms import tokenize as module
from fdkd_lightning.data.transforms.tokenize import Tokenize

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "dog", "bark", "##s", "cat"]
CLS, SEP, A, DOG, BARK, S, CAT = range(2, 9)


def save(folder: Path, begin_and_end: bool = True, **special: str) -> str:
    """A WordPiece tokenizer, as BERT's is, or without its first and last token."""
    numbers = {word: i for i, word in enumerate(VOCABULARY)}
    words = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if begin_and_end:
        words.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
        )
    fast = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", **special)
    fast.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return save(tmp_path / "words", pad_token="[PAD]")


def test_texts_are_filled_up_to_the_longest_of_the_batch(folder: str) -> None:
    tokens = Tokenize(folder)(["A dog barks", "cat"])
    assert tokens["input_ids"].tolist() == [[CLS, A, DOG, BARK, S, SEP], [CLS, CAT, SEP, 0, 0, 0]]
    assert tokens["attention_mask"].tolist() == [[1] * 6, [1, 1, 1, 0, 0, 0]]
    assert {x.dtype for x in tokens.values()} == {torch.int64}
    assert Tokenize(folder)(["cat", "dog"])["input_ids"].shape == (2, 3)


def test_a_longer_text_loses_its_end_and_keeps_its_last_token(folder: str) -> None:
    tokens = Tokenize(folder, max_length=4)(["a dog barks", "a"])
    assert tokens["input_ids"].tolist() == [[CLS, A, DOG, SEP], [CLS, A, SEP, 0]]


def test_padding_stands_at_the_end_whatever_the_tokenizers_habit(tmp_path: Path) -> None:
    folder = save(tmp_path, pad_token="[PAD]", padding_side="left")
    assert Tokenize(folder)(["a dog", "a"])["attention_mask"].tolist() == [[1] * 4, [1, 1, 1, 0]]


def test_a_tokenizer_without_a_padding_token_will_do(tmp_path: Path) -> None:
    tokens = Tokenize(save(tmp_path, eos_token="[SEP]"))(["a dog", "a"])
    assert tokens["attention_mask"].tolist() == [[1] * 4, [1, 1, 1, 0]]
    assert tokens["input_ids"][1, :3].tolist() == [CLS, A, SEP]


@pytest.mark.parametrize("texts", [["", "a dog"], [""], ["", ""]])
def test_a_text_without_tokens_gets_one_that_counts(tmp_path: Path, texts: list[str]) -> None:
    tokens = Tokenize(save(tmp_path, begin_and_end=False, pad_token="[PAD]"))(texts)
    assert tokens["input_ids"][0, 0] == 0
    assert tokens["attention_mask"].sum(1).tolist() == [2 if text else 1 for text in texts]


def test_tokens_are_where_the_module_was_moved(folder: str) -> None:
    tokens = Tokenize(folder).to("meta")(["a"])
    assert {x.device.type for x in tokens.values()} == {"meta"}


def test_nothing_is_read_before_the_first_text_and_once_only(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transform = Tokenize(folder)
    assert not transform.state_dict()
    reads: list[str] = []
    read = Tokenize._load
    monkeypatch.setattr(Tokenize, "_load", lambda self: reads.append("") or read(self))
    transform(["a"])
    transform(["dog"])
    assert len(reads) == 1


@pytest.mark.parametrize("used", [True, False])
def test_copies_do_what_the_original_does(folder: str, used: bool) -> None:
    transform = Tokenize(folder, max_length=5)
    if used:
        transform(["a"])
    for other in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        assert other(["a dog barks"])["input_ids"].tolist() == [[CLS, A, DOG, BARK, SEP]]


def test_a_tokenizer_that_is_not_there_is_an_error_with_the_ways_out(tmp_path: Path) -> None:
    transform = Tokenize(str(tmp_path / "nowhere"))
    with pytest.raises(OSError, match=r"tokenizer='.*nowhere' cannot be loaded") as error:
        transform(["a"])
    assert "HF_HOME" in str(error.value)


@pytest.mark.parametrize(
    ("value", "kind"), [("a dog", "str"), ([1, 2], "list with int"), (torch.ones(2), "Tensor")]
)
def test_what_is_no_list_of_texts_is_named(folder: str, value: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=f"got {kind}: .*TextRecipe"):
        Tokenize(folder)(value)


def test_a_length_below_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="max_length=0 must be at least 1"):
        Tokenize("bert", max_length=0)


def test_transformers_is_imported_with_the_first_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)  # whose import then fails
    transform = runpy.run_path(module.__file__)["Tokenize"]("name")
    with pytest.raises(ImportError):
        transform(["a dog"])
