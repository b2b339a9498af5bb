"""Handlers of the verbs, the same for every resource. Know HTTP and options, never tables."""
