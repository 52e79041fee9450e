"""Recipe of text."""

from fdkd_lightning.data.preparation.recipe.base import Generator, Recipe


class TextRecipe(Recipe):
    """Text, loaded unchanged from the table; a transform of the batch tokenizes it.

    Example:
        >>> TextRecipe().load("a dog", rng=None)
        'a dog'
    """

    def load(self, source: str, rng: Generator) -> str:
        """Return the text."""
        return source

    def blank(self, rng: Generator = None) -> str:
        """Return the empty text."""
        return ""
