"""`tagstream api`: the API role alone, as a server runs it."""

from __future__ import annotations

import gc
from pathlib import Path

import click


@click.command("api", short_help="Serve the API (server role).")
@click.option(
    "--listen", default="0.0.0.0:8443", show_default=True, metavar="HOST:PORT", help="Where."
)
@click.option(
    "--tls-cert",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Certificate chain, PEM.",
)
@click.option(
    "--tls-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Its key, PEM.",
)
@click.option(
    "--tls-name",
    "tls_names",
    multiple=True,
    metavar="NAME",
    help="A host or address that clients use; goes into the certificate that is made.",
)
@click.option("--plain-http", is_flag=True, help="No TLS: only behind a proxy that has it.")
@click.pass_obj
def command(
    data: Path | None,
    *,
    listen: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_names: tuple[str, ...],
    plain_http: bool,
) -> int:
    """Serve image.openshift.io/v1 until ctrl-C or SIGTERM; imports are carried by the workers.

    Needs TAGSTREAM_BROKER_URL and TAGSTREAM_DATABASE_URL. Without a certificate one is made in the
    data directory, signed by a CA beside it. Clients send tokens over TLS only.
    """
    from cli.bootstrap import open_settings_cipher, parse_address, read_settings
    from models.errors import UsageError

    settings = read_settings(data)
    if settings.broker_url is None or settings.database_url is None:
        raise UsageError(
            "the API role needs TAGSTREAM_BROKER_URL and TAGSTREAM_DATABASE_URL; for everything "
            "in one process there is `tagstream up`"
        )
    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key belong together")
    host, port = parse_address(listen)
    from api.serving.api_server import ApiServer, Listen
    from api.serving.lifespan import open_api
    from api.serving.serving_certs import ensure_certificates
    from models.store.database.session import open_engine
    from worker.celery_app import build_app
    from worker.monitoring.instrumentation import observed

    if plain_http:
        tls_cert = tls_key = None
    elif tls_cert is None:
        import socket

        names = {"localhost", "127.0.0.1", "::1", socket.gethostname(), *tls_names}
        files = ensure_certificates(settings.data_dir / "pki", sorted(names))
        tls_cert, tls_key = files.certificate, files.key
    engine = open_engine(settings.effective_database_url)
    app = open_api(settings, engine, open_settings_cipher(settings), build_app(settings))
    # What is there by now stays; the collector need not look at it again and again.
    gc.freeze()
    gc.enable()
    with observed(settings, lambda: engine):
        served = ApiServer(app, Listen(host, port, tls_cert, tls_key)).run()
    engine.dispose()
    return 0 if served else 1
