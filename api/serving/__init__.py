"""The server process around the application: listening, TLS, lifespan, thread pool, health and
metrics endpoints.
"""
