"""A real API server on a real port with TLS, and clients with the tokens of test users."""

import contextlib
import secrets
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path

import httpx
from pydantic import SecretStr

from api.serving.api_server import ApiServer, ListenConfig
from api.serving.lifespan import open_api
from api.serving.serving_certs import ensure_certificates
from models.access.rbac import ALL_NAMESPACES, USER_KIND
from models.config.settings import Settings
from models.store.access.namespace_store import ensure_namespace
from models.store.access.token_store import bind_role, create_token
from models.store.database.cipher import open_cipher
from models.store.database.session import open_engine, transaction, upgrade_database
from worker.celery_app import build_celery_app
from worker.worker_context import adopt_worker_context, close_worker_context, open_worker_context
from worker.worker_process import embedded_worker

IMAGE_API = "/apis/image.openshift.io/v1"


class ApiTestServer:
    """The server, its database and its clients. With `worker`, an embedded worker runs the jobs."""

    def __init__(self, home, database_url=None, *, worker=False, **settings):
        self.home = Path(home)
        self.settings = Settings(
            data_dir=self.home,
            database_url=None if database_url is None else SecretStr(database_url),
            internal_registry_hostname=settings.pop("internal_registry_hostname", "reg.local:5000"),
            **settings,
        )
        self.engine = open_engine(self.settings.effective_database_url)
        upgrade_database(self.engine)
        self.celery_app = build_celery_app(self.settings)
        cipher = open_cipher(key=None, key_file=None, data_dir=self.home / "keys", embedded=True)
        self.files = ensure_certificates(self.home / "pki", ["localhost", "127.0.0.1"])
        api = open_api(self.settings, self.engine, cipher, self.celery_app)
        listen = ListenConfig("127.0.0.1", 0, self.files.certificate, self.files.key)
        self.server = ApiServer(api, listen)
        self.cipher = cipher
        self.url = f"https://127.0.0.1:{self.server.port}"
        self._worker = worker
        self._stack = contextlib.ExitStack()
        self._clients = []

    def __enter__(self):
        now = datetime.now(UTC)
        with transaction(self.engine) as session:
            for name in ("ns1", "ns2"):
                ensure_namespace(session, name, now=now)
        self.token = self.make_token("admin-user", ("admin", ALL_NAMESPACES))
        if self._worker:
            context = open_worker_context(self.settings, engine=self.engine)
            context.cipher = self.cipher
            adopt_worker_context(self.celery_app, context)
            self._stack.callback(close_worker_context, self.celery_app)
            self._stack.enter_context(embedded_worker(self.celery_app))
        self._stack.enter_context(self.server.serve_in_thread())
        self.admin = self.client(self.token)
        return self

    def __exit__(self, *_):
        for client in self._clients:
            client.close()
        self._stack.close()
        self.engine.dispose()

    def make_token(self, name, *roles):
        """Create a token of the user `name`.

        Roles are (role, namespace) or (role, namespace, stream).
        """
        now = datetime.now(UTC)
        with transaction(self.engine) as session:
            # Unique, because the store may hold tokens of an earlier server.
            label = f"{name}-{secrets.token_hex(4)}"
            token = create_token(session, name=label, user=name, now=now)
            for role, namespace, *rest in roles:
                stream = rest[0] if rest else ""
                bind_role(session, USER_KIND, name, role, namespace, stream=stream, now=now)
        return token

    def client(self, token=None):
        """Open an HTTP client that trusts the server and sends `token`."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        client = httpx.Client(
            base_url=self.url,
            verify=ssl.create_default_context(cafile=self.files.authority),
            headers=headers,
            timeout=30,
        )
        self._clients.append(client)
        return client

    def user(self, name, *roles):
        """Open a client of a new user with these roles."""
        return self.client(self.make_token(name, *roles))

    def kubeconfig(self, token=None, namespace="ns1"):
        """Write a kubeconfig for kubectl, oc and the Python clients; return its path."""
        from cli.kubeconfig_writer import write_kubeconfig

        path = self.home / f"kubeconfig-{threading.get_ident()}-{len(self._clients)}"
        write_kubeconfig(
            path, server=self.url, authority=self.files.authority, token=token or self.token
        )
        text = path.read_text().replace("namespace: default", f"namespace: {namespace}")
        path.write_text(text)
        return path


def streams(namespace="ns1"):
    """Return the URL path of a namespace's streams."""
    return f"{IMAGE_API}/namespaces/{namespace}/imagestreams"
