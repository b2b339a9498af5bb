"""One command a file, named after its verb. Parses options and returns exit codes; the work is done
by `cli.backend`.
"""
