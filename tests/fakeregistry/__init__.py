"""A registry that injects faults on request. It knows the distribution protocol, not tagstream.

A test uses `server.FakeRegistry`. `wire` implements HTTP, `content` the correct responses,
`response_rules` the faults, `quotas` rate limits, `access` authentication, `token_server` the token
service for a docker-registry, and `certificates` TLS. `latency_proxy` adds a round trip time to any
server, and `leak_detector` finds a secret where it must not be.
"""
