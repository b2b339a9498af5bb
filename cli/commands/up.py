"""`tagstream up`: the whole product in one process, for one person."""

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

THREADS = 8  # for jobs of people, for the schedule's batches, and for what runs in the background
TOKEN_NAME = "administrator"  # noqa: S105 - a name, not a secret


@click.command("up", short_help="Run everything in one process: API, worker, scheduler.")
@click.option(
    "--listen",
    default="127.0.0.1:8443",
    show_default=True,
    metavar="HOST:PORT",
    help="Where the API listens, with TLS.",
)
@click.option(
    "--data",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where everything is kept; the same as before the verb.",
)
@click.pass_obj
def command(data: Path | None, *, listen: str, directory: Path | None) -> int:
    """Run the API with TLS, a worker and the scheduler until ctrl-C or SIGTERM.

    Makes a database, a CA, a certificate, an administrator's token and a kubeconfig in the data
    directory, and prints how to use them.
    """
    from cli.bootstrap import open_counter, open_store, read_settings
    from models.errors import UsageError

    settings = read_settings(directory or data)
    if not settings.embedded:
        raise UsageError(
            "`tagstream up` is for one process without a broker; with TAGSTREAM_BROKER_URL set, "
            "run `tagstream api`, `tagstream worker` and the scheduler instead"
        )
    gc.enable()
    with open_store(settings) as engine, open_counter(settings, engine, threads=THREADS) as app:
        return _serve(settings, engine, app, listen)


def _serve(settings: Settings, engine: Engine, app: Celery, listen: str) -> int:
    from api.serving.api_server import ApiServer, Listen
    from api.serving.lifespan import open_api
    from api.serving.serving_certs import ensure_certificates
    from cli.bootstrap import open_settings_cipher, parse_address
    from cli.kubeconfig_writer import write_kubeconfig
    from scheduler.embedded_scheduler import scheduling
    from worker.monitoring.instrumentation import observed_worker

    host, port = parse_address(listen)
    files = ensure_certificates(settings.data_dir / "pki", _names(host))
    api = open_api(settings, engine, open_settings_cipher(settings), app)
    server = ApiServer(api, Listen(host, port, files.certificate, files.key))
    kubeconfig = settings.data_dir / "kubeconfig"
    shown = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 - never dialled so
    shown = f"[{shown}]" if ":" in shown else shown
    write_kubeconfig(
        kubeconfig,
        server=f"https://{shown}:{server.port}",
        authority=files.authority,
        token=_administrator(settings, engine),
    )

    def tell() -> None:
        click.echo(f"tagstream serves https://{shown}:{server.port}; try:")
        click.echo(f"  kubectl --kubeconfig {kubeconfig} get imagestreams -A")
        click.echo(f"  tagstream --kubeconfig {kubeconfig} import quay.io/libpod/alpine:latest")

    with scheduling(settings, engine, app), observed_worker(app):
        return 0 if server.run(ready=tell) else 1


def _administrator(settings: Settings, engine: Engine) -> str:
    """The administrator's token: the one of the last time where it still works, else a new one."""
    from cli.kubeconfig_writer import read_token
    from models.access.builtin_roles import ADMIN
    from models.access.rbac import EVERYWHERE, USER_KIND
    from models.store.access.token_store import (
        bind,
        create_token,
        digest_token,
        find_token,
        list_tokens,
        revoke_token,
    )
    from models.store.database.session import transaction
    from worker.job_queue import utc_now

    known = read_token(settings.data_dir / "kubeconfig")
    now = utc_now()
    with transaction(engine) as session:
        if known and find_token(session, digest_token(known), now) is not None:
            return known
        if any(token.name == TOKEN_NAME for token in list_tokens(session)):
            revoke_token(session, TOKEN_NAME)
        token = create_token(session, name=TOKEN_NAME, user=TOKEN_NAME, now=now)
        bind(session, USER_KIND, TOKEN_NAME, ADMIN, EVERYWHERE, now=now)
    return token


def _names(host: str) -> list[str]:
    """What clients may call the server."""
    names = {"localhost", "127.0.0.1", "::1", socket.gethostname()}
    if host not in {"0.0.0.0", "::", ""}:  # noqa: S104 - all addresses have no name
        names.add(host)
    return sorted(name for name in names if name)
