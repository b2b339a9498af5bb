"""`tagstream ready`: whether an API server may be asked; for health checks of containers."""

from __future__ import annotations

import click


@click.command("ready", short_help="Whether an API server is ready.")
@click.argument("url", metavar="URL")
def command(url: str) -> int:
    """Ask URL/readyz; exit code 0 when the server is ready, 1 when it is not.

    The certificate is not verified: nothing secret is sent, and nothing that comes is believed.
    """
    import ssl
    import urllib.error
    import urllib.request

    from models.errors import UsageError

    if not url.startswith(("https://", "http://")):
        raise UsageError(f"{url!r} is not an http or https URL")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/readyz", context=context, timeout=4) as got:  # noqa: S310 - http(s) only, see above
            click.echo(got.read(200).decode("utf-8", "replace").strip())
    except urllib.error.HTTPError as error:
        click.echo(f"not ready: {error.code}", err=True)
        return 1
    except OSError as error:
        click.echo(f"not ready: {error}", err=True)
        return 1
    return 0
