"""Request bodies to plain objects and stored objects to wire objects: JSON, YAML, protobuf, strict
field checks. Knows formats, not kinds' rules.
"""
