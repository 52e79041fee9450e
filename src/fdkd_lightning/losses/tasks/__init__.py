"""Tasks, one per file: a class per sample, independent labels, or numbers."""
