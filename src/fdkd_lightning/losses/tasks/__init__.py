"""What labels mean: a class per sample, independent labels, or numbers; one meaning a file."""
