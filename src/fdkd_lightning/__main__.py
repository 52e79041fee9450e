"""``python -m fdkd_lightning`` does what the console script ``fdkd`` does."""

import sys
from pathlib import Path

# Python puts the current folder first, where a user's attr.py would replace a library's. The
# commands put it last.
if sys.path and sys.path[0] in ("", str(Path.cwd())):
    del sys.path[0]

from fdkd_lightning.cli import main

if __name__ == "__main__":
    main()
