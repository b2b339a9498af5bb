"""The `tagstream` command line: one command a file. Lower packages are imported late, so that a
command starts fast.
"""
