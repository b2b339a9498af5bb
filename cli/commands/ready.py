"""`tagstream ready`: checks whether an API server is ready, for health checks of containers."""

from __future__ import annotations

import click


@click.command("ready", short_help="Check whether an API server is ready.")
@click.argument("url", metavar="URL")
def command(url: str) -> int:
    """Check URL/readyz; the exit code is 0 if the server is ready, else 1.

    The certificate is not verified: nothing secret is sent, and the response is only printed.
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
        ready_url = f"{url.rstrip('/')}/readyz"
        with urllib.request.urlopen(ready_url, context=context, timeout=4) as response:  # noqa: S310 - http(s) only, see above
            click.echo(response.read(200).decode("utf-8", "replace").strip())
    except urllib.error.HTTPError as error:
        click.echo(f"not ready: {error.code}", err=True)
        return 1
    except OSError as error:
        click.echo(f"not ready: {error}", err=True)
        return 1
    return 0
