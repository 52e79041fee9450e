"""Files: read with errors that name the line, written such that each is complete."""
