"""`tagstream api`: the API server role alone."""

from __future__ import annotations

import gc
from pathlib import Path

import click


@click.command("api", short_help="Serve the API (server role).")
@click.option(
    "--listen",
    default="0.0.0.0:8443",
    show_default=True,
    metavar="HOST:PORT",
    help="Address of the API.",
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
    help="Private key of the certificate, PEM.",
)
@click.option(
    "--tls-name",
    "tls_names",
    multiple=True,
    metavar="NAME",
    help="Host name or address for the generated certificate; may be repeated.",
)
@click.option("--plain-http", is_flag=True, help="Serve without TLS: only behind a TLS proxy.")
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
    """Serve image.openshift.io/v1 until ctrl-C or SIGTERM; workers run the imports.

    Needs TAGSTREAM_BROKER_URL and TAGSTREAM_DATABASE_URL. Without a certificate, one is generated
    in the data directory, signed by a generated CA. Clients send tokens over TLS only.
    """
    from cli.bootstrap import open_settings_cipher, parse_listen_option, read_settings
    from models.errors import UsageError

    settings = read_settings(data)
    if settings.broker_url is None or settings.database_url is None:
        raise UsageError(
            "the API role needs TAGSTREAM_BROKER_URL and TAGSTREAM_DATABASE_URL; to run everything "
            "in one process, use `tagstream up`"
        )
    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key must be used together")
    host, port = parse_listen_option(listen)
    from api.serving.api_server import ApiServer, ListenConfig
    from api.serving.lifespan import open_api
    from api.serving.serving_certs import ensure_certificates
    from models.store.database.session import open_engine
    from worker.celery_app import build_celery_app
    from worker.monitoring.instrumentation import instrument_process

    if plain_http:
        tls_cert = tls_key = None
    elif tls_cert is None:
        import socket

        names = {"localhost", "127.0.0.1", "::1", socket.gethostname(), *tls_names}
        certificates = ensure_certificates(settings.data_dir / "pki", sorted(names))
        tls_cert, tls_key = certificates.certificate, certificates.key
    engine = open_engine(settings.effective_database_url)
    app = open_api(settings, engine, open_settings_cipher(settings), build_celery_app(settings))
    # Objects of the start-up live as long as the process: exclude them from every collection.
    gc.freeze()
    gc.enable()
    with instrument_process(settings, lambda: engine):
        succeeded = ApiServer(app, ListenConfig(host, port, tls_cert, tls_key)).run()
    engine.dispose()
    return 0 if succeeded else 1
