"""The digits' written names, in several languages and misspelt."""

import numpy as np

NAMES = {
    "en": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "de": ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"),
    "nl": ("nul", "een", "twee", "drie", "vier", "vijf", "zes", "zeven", "acht", "negen"),
    "sv": ("noll", "ett", "två", "tre", "fyra", "fem", "sex", "sju", "åtta", "nio"),
    "fr": ("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"),
    "es": ("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"),
    "it": ("zero", "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove"),
    "pt": ("zero", "um", "dois", "três", "quatro", "cinco", "seis", "sete", "oito", "nove"),
}
"""Language -> the names of 0 to 9."""

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def digit_name(digit: int, rng: np.random.Generator, noise: float = 0.4) -> str:
    """A digit's name in a language that is drawn, misspelt.

    Args:
        digit: From 0 to 9.
        rng: The sample's own; the language is the same whatever the noise.
        noise: See :func:`misspell`.

    Example:
        >>> [digit_name(7, np.random.default_rng(seed), noise=0) for seed in range(4)]
        ['sette', 'sju', 'sette', 'sette']
    """
    languages = [*NAMES.values()]
    return misspell(languages[rng.integers(len(languages))][digit], rng, noise)


def misspell(word: str, rng: np.random.Generator, noise: float) -> str:
    """Each letter is, with probability ``noise``, left out, doubled or replaced by another.

    The three are equally likely. A word of which nothing would be left keeps its first letter.

    Args:
        word: The word.
        rng: Draws the same for a word whatever the noise, so that with more of it what was
            misspelt stays so.
        noise: From 0 to 1.

    Example:
        >>> [misspell("seven", np.random.default_rng(seed), noise=0.4) for seed in range(4)]
        ['sqvveen', 'see', 'bovn', 'eeve']
    """
    chances, kinds = rng.random(len(word)), rng.integers(3, size=len(word))
    others = rng.integers(len(LETTERS), size=len(word))
    spelt = [
        ("", 2 * letter, LETTERS[other])[kind] if chance < noise else letter
        for letter, chance, kind, other in zip(word, chances, kinds, others, strict=True)
    ]
    return "".join(spelt) or word[0]
