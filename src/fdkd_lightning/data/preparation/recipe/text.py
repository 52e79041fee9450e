"""Text."""

from fdkd_lightning.data.preparation.recipe.base import Generator, Recipe


class TextRecipe(Recipe):
    """A text, as it stands in the table; a transform of the batch makes tokens of it.

    Example:
        >>> TextRecipe().load("a dog", rng=None)
        'a dog'
    """

    def load(self, source: str, rng: Generator) -> str:
        """The text."""
        return source

    def blank(self, rng: Generator = None) -> str:
        """The empty text."""
        return ""
