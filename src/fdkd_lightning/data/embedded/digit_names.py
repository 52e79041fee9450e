"""Written names of the digits in several languages, with random spelling errors."""

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
"""Language -> names of the digits 0 to 9."""

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def digit_name(digit: int, rng: np.random.Generator, noise: float = 0.4) -> str:
    """Return a digit's name in a random language, with spelling errors.

    Args:
        digit: The digit, from 0 to 9.
        rng: Generator of this sample; the language does not depend on the noise.
        noise: Probability of an error per letter, see :func:`misspell`.

    Example:
        >>> [digit_name(7, np.random.default_rng(seed), noise=0) for seed in range(4)]
        ['sette', 'sju', 'sette', 'sette']
    """
    languages = [*NAMES.values()]
    return misspell(languages[rng.integers(len(languages))][digit], rng, noise)


def misspell(word: str, rng: np.random.Generator, noise: float) -> str:
    """Delete, double or replace each letter of a word with probability ``noise``.

    The three errors are equally likely. If nothing would be left, the first letter is kept.

    Args:
        word: The word.
        rng: Generator of this sample; its draws do not depend on the noise, so more noise keeps
            the errors that less noise makes.
        noise: Probability of an error per letter, from 0 to 1.

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
