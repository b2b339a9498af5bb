"""Where a user verb asks for streams, images, jobs and secrets: a server, or this process.

Knows kubeconfigs, paths and Status objects. How things are shown is the verbs' business.
"""
