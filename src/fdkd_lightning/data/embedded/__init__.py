"""Small data sets that are generated on this machine, without a download."""
