"""``python -m fdkd_lightning`` does what the console script ``fdkd`` does."""

from fdkd_lightning.cli import main

if __name__ == "__main__":
    main()
