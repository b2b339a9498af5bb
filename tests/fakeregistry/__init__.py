"""A registry that misbehaves on request. It knows the distribution protocol, but not tagstream.

`server.FakeRegistry` is the whole of it for a test; `wire` speaks HTTP, `content` answers well,
`script` answers badly, `access` asks for credentials, `certificates` proves who speaks, and
`proxy` makes any server far away.
"""
