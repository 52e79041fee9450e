"""Lets the tests of this folder, which pytest does not import as a package, share their helpers."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from export_networks import Traced, traced


@pytest.fixture(scope="session")
def traced_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Traced]:
    """Kind -> a network and its graph, traced once."""
    return cache(lambda kind: traced(kind, tmp_path_factory.mktemp(kind)))
