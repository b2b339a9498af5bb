"""Answers `kubectl` and `oc`: the Image API over HTTP, in the words of Kubernetes.

Knows paths, headers, bodies, Status and streams of changes. Must not know registries: it never
connects to one, it enqueues a job (`worker.job_queue`) and waits. Must not know rows either: the
store hands it resources.
"""
