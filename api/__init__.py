"""The API server: `image.openshift.io/v1`, and what clients need besides it, over HTTP.

Knows paths, headers, bodies, Status objects and watches. Must not know registries: it never
connects to one, it enqueues a job (`worker.job_queue`) and waits for its result. Must not know
rows: the store returns resources.
"""
