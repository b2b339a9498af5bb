"""Codecs: request bodies to plain objects, stored objects to wire objects; JSON, YAML, protobuf,
and strict field checks. Know formats, not the rules of kinds.
"""
