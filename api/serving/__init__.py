"""The process around the application: server, TLS, lifespan, thread pool, health and metrics
endpoints.
"""
