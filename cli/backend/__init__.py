"""Backends of the user commands: a server over REST, or the application in this process.

Knows kubeconfigs, REST paths and Status objects. How results are shown is up to the commands and
`cli.rendering`.
"""
