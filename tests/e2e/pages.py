"""The pages whose commands are run, what each finds when it begins, and which commands are not run.

A page names hosts, ports and directories as its reader has them; `Surroundings` says what stands
for them on this machine.
"""

import contextlib
import os
import re
import shutil
import sqlite3
from dataclasses import dataclass, field

from tests import fixtures as fx
from tests.e2e.conftest import BIN, ROOT
from tests.e2e.local_instance import push_builds
from tests.e2e.transcripts import SavedFile, Shell, read_page
from tests.servers import DockerRegistry, free_port

PREVIOUS = ROOT / "tests" / "previous"
INSTALLED = "the tests run in the environment that it makes"
NO_DOCKER = "there is no Docker daemon where the tests run"
NO_OC = "`oc` is not installed where the tests run"

# Page -> {regular expression of a command: why it is not run}.
NOT_RUN = {
    "README.md": {r"make setup && ": INSTALLED},
    "docs/tutorial/first-import.md": {
        r"make setup$": INSTALLED,
        r"\. \.venv/bin/activate$": INSTALLED,
        r"sudo apt-get install ": "the machine has the packages already",
    },
    "docs/howto/install.md": {
        r"make setup$": INSTALLED,
        r"\. \.venv/bin/activate$": INSTALLED,
        r"python3.11 -m venv |/opt/tagstream/bin/pip ": "it downloads all packages again",
        r"docker ": NO_DOCKER,
    },
    "docs/howto/upgrade.md": {
        r"git pull$": "the checkout is what is tested",
        r"make setup$": INSTALLED,
        r"docker ": NO_DOCKER,
    },
    "docs/howto/compose.md": {
        r"docker ": NO_DOCKER,
        r"kubectl config ": "the CA and the token come from a container",
    },
    "docs/explanation/coming-from-openshift.md": {r"oc ": NO_OC},
}


@dataclass
class Surroundings:
    """What a reader's machine has: a home, free ports, and perhaps servers that run already."""

    home: object
    variables: dict = field(default_factory=dict)
    texts: dict = field(default_factory=dict)  # regular expression on the page -> its stand-in

    def adapt(self, text):
        """Return the text of a page with the stand-ins."""
        for shape, replacement in self.texts.items():
            text = re.sub(shape, replacement, text)
        return text


@contextlib.contextmanager
def open_surroundings(page, home, request):
    """Open what the page finds: the practice registry, unless the page starts it itself."""
    ports = {number: free_port() for number in (5001, 5002, 8443, 9464)}
    found = Surroundings(
        home,
        variables={
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(home),
            "USER": "you",
            "LANG": "C.UTF-8",
        },
        texts={
            r"/home/you\b": str(home),
            r"\b(localhost|127\.0\.0\.1|0\.0\.0\.0)([:-])(5001|5002|8443|9464)\b": lambda found: (
                f"{found[1]}{found[2]}{ports[int(found[3])]}"
            ),
            r"(?m)^(\$ .*tagstream up\b)": rf"\1 --listen 127.0.0.1:{ports[8443]}",
        },
    )
    with contextlib.ExitStack() as stack:
        text = page.read_text()
        if "postgresql://tagstream@localhost" in text:
            server = request.getfixturevalue("postgres_server")
            name = server.create_database()
            stack.callback(server.drop_database, name)
            found.texts[r"postgresql://tagstream@localhost/tagstream\b"] = server.url(name)
            found.texts[r"postgresql://tagstream@localhost/"] = server.url("")
            found.texts[r"DATABASE tagstream\b"] = f"DATABASE {name}"
        if page.name == "upgrade.md":
            write_previous_store(home / ".local" / "share" / "tagstream")
        if "redis://localhost" in text:
            found.texts[r"redis://localhost:6379/0"] = request.getfixturevalue("redis_url")
        if "docker-registry serve registry.yml" not in text:
            registry = stack.enter_context(DockerRegistry())
            fill_practice_registry(registry)
            ports[5001] = registry.port
            found.texts[r"\bquay\.io\b(?=/libpod/alpine:|  )"] = registry.host
        yield found


def write_previous_store(directory):
    """Write the data directory of the previous release."""
    directory.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(directory / "tagstream.db")) as database:
        database.executescript((PREVIOUS / "sqlite.sql").read_text())
    shutil.copy(PREVIOUS / "key", directory / "secrets.key")


def fill_practice_registry(registry):
    """Push what the tutorial leaves: 1.0, 1.1, and latest, which points to 1.1."""
    digest = push_builds(registry, "team/weather", "1.0", "1.1")[-1]
    manifest = registry.request(
        "GET", f"team/weather/manifests/{digest}", headers={"Accept": fx.OCI_TYPE}
    ).content
    registry.put_manifest("team/weather", "latest", manifest, fx.OCI_TYPE)
    push_builds(registry, "libpod/alpine", "latest")  # that of the README


def steps_of(page, surroundings):
    """Return the steps of a page that are run, with the stand-ins of these surroundings."""
    steps = read_page(surroundings.adapt(page.read_text()))
    return [step for step in steps if isinstance(step, SavedFile) or not reason_not_run(page, step)]


def reason_not_run(page, command):
    """Return why a command of a page is not run, or None."""
    reasons = NOT_RUN.get(str(page.relative_to(ROOT)), {})
    return next((why for shape, why in reasons.items() if re.match(shape, command.text)), None)


def open_shell(surroundings):
    """Open the terminal of a reader, in the home directory."""
    return Shell(surroundings.home, surroundings.variables)
