"""Many runs, one table: did the teacher help?"""
