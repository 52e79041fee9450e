"""``python -m fdkd_lightning`` is the console script ``fdkd``."""

from fdkd_lightning.cli import main

if __name__ == "__main__":
    main()
