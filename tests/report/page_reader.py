"""Reads a page as a browser does, as far as the tests need it."""

from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "link", "br", "img"}


class Element:
    """A tag with its attributes and all text within."""

    def __init__(self, tag: str, attributes: dict[str, str], parents: list["Element"]) -> None:
        self.tag, self.attributes, self.parents = tag, attributes, parents
        self.pieces: list[str] = []

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split())


class Page(HTMLParser):
    """All elements in their order; fails where a tag is closed that is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        element = Element(tag, {k: v or "" for k, v in attrs}, [*self.open])
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.pieces.append(data)

    def find(self, tag: str, inside: Element | None = None, **attributes: str) -> list[Element]:
        """Elements of a tag, with these attributes (``class_`` for class), within another one."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            element
            for element in self.elements
            if element.tag == tag
            and wanted.items() <= element.attributes.items()
            and (inside is None or inside in element.parents)
        ]
