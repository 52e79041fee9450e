"""Lets the tests of this folder, which pytest does not import as a package, share their helpers."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
