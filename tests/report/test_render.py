from pathlib import Path

import pytest
from jinja2 import UndefinedError

from fdkd_lightning.report.render import render, save_page, yaml_text


def test_text_is_escaped_and_values_are_wanted(tmp_path: Path) -> None:
    text = render("layout.html", {"title": "<b>Größe", "caption": "a & b"})
    assert "<title>&lt;b&gt;Größe</title>" in text
    assert "<p>a &amp; b</p>" in text
    with pytest.raises(UndefinedError, match="caption"):
        render("layout.html", {"title": ""})
    assert save_page(tmp_path, text) == tmp_path / "report.html"
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == text


def test_yaml_keeps_order_and_letters() -> None:
    assert yaml_text({"b": "Größe", "a": [1]}) == "b: Größe\na:\n- 1\n"
