"""Compare methods over directions, regimes and seeds: does the teacher help?"""
