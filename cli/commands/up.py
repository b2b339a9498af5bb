"""`tagstream up`: API, worker and scheduler in one process, for one user."""

from __future__ import annotations

import gc
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from celery import Celery
    from sqlalchemy import Engine

    from models.config.settings import Settings

# Shared by interactive jobs, batches of scheduled checks, and background jobs.
EMBEDDED_THREADS = 8
TOKEN_NAME = "administrator"  # noqa: S105 - a name, not a secret


@click.command("up", short_help="Run everything in one process: API, worker, scheduler.")
@click.option(
    "--listen",
    default="127.0.0.1:8443",
    show_default=True,
    metavar="HOST:PORT",
    help="Address of the API, with TLS.",
)
@click.option(
    "--data",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Data directory; the same as `tagstream --data DIR up`.",
)
@click.pass_obj
def command(data: Path | None, *, listen: str, directory: Path | None) -> int:
    """Run the API with TLS, a worker and the scheduler until ctrl-C or SIGTERM.

    Creates a database, a CA, a certificate, an administrator's token and a kubeconfig in the data
    directory, and prints how to use them.
    """
    from cli.bootstrap import open_database, open_job_queue, read_settings
    from models.errors import UsageError

    settings = read_settings(directory or data)
    if not settings.embedded:
        raise UsageError(
            "`tagstream up` is for one process without a broker; with TAGSTREAM_BROKER_URL set, "
            "run `tagstream api`, `tagstream worker` and the scheduler instead"
        )
    gc.enable()
    with (
        open_database(settings) as engine,
        open_job_queue(settings, engine, threads=EMBEDDED_THREADS) as app,
    ):
        return _serve(settings, engine, app, listen)


def _serve(settings: Settings, engine: Engine, app: Celery, listen: str) -> int:
    from api.serving.api_server import ApiServer, ListenConfig
    from api.serving.lifespan import open_api
    from api.serving.serving_certs import ensure_certificates
    from cli.bootstrap import open_settings_cipher, parse_listen_option
    from cli.kubeconfig_writer import write_kubeconfig
    from scheduler.embedded_scheduler import embedded_scheduler
    from worker.monitoring.instrumentation import instrument_worker

    host, port = parse_listen_option(listen)
    certificates = ensure_certificates(settings.data_dir / "pki", _server_names(host))
    api = open_api(settings, engine, open_settings_cipher(settings), app)
    server = ApiServer(api, ListenConfig(host, port, certificates.certificate, certificates.key))
    kubeconfig = settings.data_dir / "kubeconfig"
    public_host = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 - compared only
    public_host = f"[{public_host}]" if ":" in public_host else public_host
    write_kubeconfig(
        kubeconfig,
        server=f"https://{public_host}:{server.port}",
        authority=certificates.authority,
        token=_administrator_token(settings, engine),
    )

    def print_usage() -> None:
        click.echo(f"tagstream serves https://{public_host}:{server.port}; try:")
        click.echo(f"  kubectl --kubeconfig {kubeconfig} get imagestreams -A")
        click.echo(
            f"  tagstream --kubeconfig {kubeconfig} import --scheduled quay.io/libpod/alpine:latest"
        )

    with embedded_scheduler(settings, engine, app), instrument_worker(app):
        return 0 if server.run(on_ready=print_usage) else 1


def _administrator_token(settings: Settings, engine: Engine) -> str:
    """Return the administrator's token: the one of the kubeconfig if it is still valid, else a new
    one.
    """
    from cli.kubeconfig_writer import read_token
    from models.access.builtin_roles import ADMIN
    from models.access.rbac import ALL_NAMESPACES, USER_KIND
    from models.store.access.token_store import (
        bind_role,
        create_token,
        digest_token,
        list_tokens,
        load_token,
        revoke_token,
    )
    from models.store.database.session import transaction
    from worker.job_queue import utc_now

    known = read_token(settings.data_dir / "kubeconfig")
    now = utc_now()
    with transaction(engine) as session:
        if known and load_token(session, digest_token(known), now) is not None:
            return known
        if any(token.name == TOKEN_NAME for token in list_tokens(session)):
            revoke_token(session, TOKEN_NAME)
        token = create_token(session, name=TOKEN_NAME, user=TOKEN_NAME, now=now)
        bind_role(session, USER_KIND, TOKEN_NAME, ADMIN, ALL_NAMESPACES, now=now)
    return token


def _server_names(host: str) -> list[str]:
    """List the host names and addresses that clients may use for the server."""
    names = {"localhost", "127.0.0.1", "::1", socket.gethostname()}
    if host not in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared only; not a name for clients
        names.add(host)
    return sorted(name for name in names if name)
