"""The backend of a remote server, named by a kubeconfig."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.backend.base_backend import Backend

if TYPE_CHECKING:
    from cli.backend.backend_types import ReimportOptions
    from cli.backend.rest_client import RestClient
    from models.job_types import Job, JobRequest


class ServerBackend(Backend):
    """A backend that sends every request to the server of a kubeconfig."""

    def __init__(self, rest: RestClient, *, namespace: str) -> None:
        super().__init__(namespace=namespace)
        self._rest = rest
        self._responses: dict[Any, dict[str, Any]] = {}

    @property
    def rest(self) -> RestClient:
        """Return the REST client of the server."""
        return self._rest

    def run_import(self, request: JobRequest, *, title: str) -> Job:
        """Run an import. Its ImportJob is watched, unless the whole response is wanted: then the
        request waits.
        """
        from cli.backend.server_imports import run_import, run_import_for_response

        if not request.wants_response:
            return run_import(self._rest, request, title=title)
        job, response = run_import_for_response(self._rest, request, title=title)
        self._responses[job.id] = response
        return job

    def reimport(self, options: ReimportOptions) -> list[Job]:
        from cli.backend.server_imports import run_reimport

        return run_reimport(self._rest, options)

    def import_response(self, job: Job) -> dict[str, Any]:
        return self._responses[job.id]
