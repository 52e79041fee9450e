"""Cases of ``fdkd benchmark``, a question a file."""
