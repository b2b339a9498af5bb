"""Connections and HTTP exchanges with registries: egress policy, redirects, bodies, errors. Sits on
`limits`.
"""
