from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from fdkd_lightning.data.embedded.digit_names import NAMES, digit_name, misspell


def generators(count: int = 4000) -> Iterator[np.random.Generator]:
    for seed in range(count):
        yield np.random.default_rng(seed)


def test_each_language_names_ten_digits_differently() -> None:
    assert all(len(set(words)) == 10 for words in NAMES.values())
    assert all(
        word == word.lower() and word.isalpha() for words in NAMES.values() for word in words
    )


def test_languages_are_equally_likely() -> None:
    found = Counter(digit_name(4, rng, noise=0) for rng in generators())
    # "quatro" and "quattro" are two words; "vier" is German and Dutch.
    assert found.keys() == {words[4] for words in NAMES.values()}
    for word, count in found.items():
        languages = sum(words[4] == word for words in NAMES.values())
        # Five standard deviations of a count of 4,000 draws.
        assert count == pytest.approx(4000 * languages / 8, abs=5 * (4000 * 0.25 * 0.75) ** 0.5)


def test_without_noise_a_word_stays_and_with_all_of_it_no_letter_does() -> None:
    for rng in generators(50):
        assert misspell("quatre", rng, 0) == "quatre"
    for rng in generators(200):
        # No replacement is a capital: those that are there were doubled.
        spelt = misspell("ABCDEF", rng, 1)
        assert {spelt.count(letter) for letter in "ABCDEF"} <= {0, 2}


@pytest.mark.parametrize("noise", [0.1, 0.4, 1.0])
def test_each_kind_of_misspelling_has_its_share(noise: float) -> None:
    letters, lengths, others = 3000 * 10, 0, 0
    squares = 0
    for rng in generators(3000):
        spelt = misspell(10 * "-", rng, noise)
        lengths += len(spelt) - 10
        squares += spelt.count("-")
        others += len(spelt) - spelt.count("-")
    share = noise / 3
    deviation = 5 * (letters * share) ** 0.5
    # One letter more as often as one less; each third of what is misspelt is another letter.
    assert lengths == pytest.approx(0, abs=2 * deviation)
    assert others == pytest.approx(letters * share, abs=deviation)
    assert squares == pytest.approx(letters * (1 - noise + 2 * share), abs=3 * deviation)


def test_a_word_is_never_empty() -> None:
    assert {len(misspell("x", rng, 1)) for rng in generators(100)} == {1, 2}


def test_what_is_misspelt_stays_so_with_more_noise() -> None:
    def whole(noise: float, seed: int) -> set[str]:
        spelt = misspell("ABCDEF", np.random.default_rng(seed), noise)
        return {letter for letter in "ABCDEF" if spelt.count(letter) == 1}

    pairs = [(whole(0.3, seed), whole(0.6, seed)) for seed in range(200)]
    assert all(more <= some for some, more in pairs)
    assert any(more < some for some, more in pairs)
