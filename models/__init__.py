"""Types, pure rules and persistence of tagstream.

No network and no Celery; every other package imports this one.
"""
