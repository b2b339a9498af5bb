"""Connections and HTTP exchanges with registries: egress policy, redirects, bodies, errors. Built
on `limits`.
"""
