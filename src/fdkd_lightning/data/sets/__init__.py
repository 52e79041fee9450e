"""Data modules of published data sets; ``root`` is a folder that you downloaded."""
