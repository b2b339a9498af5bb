"""One command a file, named after its verb. Knows options and exit codes; the work is done by
`cli.backend`.
"""
