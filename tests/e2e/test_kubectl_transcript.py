"""docs/howto/kubectl.md is true: each of its commands prints what the page shows."""

import pytest

from tests.e2e.alone import Alone, need_kubectl, push_builds
from tests.e2e.conftest import HOME
from tests.e2e.transcripts import Session, matches, read_page
from tests.servers import DockerRegistry

PAGE = HOME / "docs" / "howto" / "kubectl.md"
THERE = "registry.example:5000"


@pytest.fixture(scope="module")
def outside():
    """The page's registry: it wants a login, and holds three builds."""
    with DockerRegistry(users={"reader": "s3cret"}) as found:
        push_builds(found, "team/weather", "1.0", "1.1", "latest")
        yield found


@pytest.mark.timeout(400)
@pytest.mark.case("api 226")
def test_every_command_of_the_page_prints_what_the_page_shows(tmp_path, outside):
    need_kubectl()
    alone = Alone(tmp_path, outside).start()
    text = PAGE.read_text().replace(THERE, outside.host).replace("DIR", str(alone.data))
    files, commands = read_page(text)
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    session = Session(tmp_path, alone.variables)
    try:
        assert len(commands) > 40
        for command in commands:
            wrong = session.run(command)
            assert wrong is None, f"line {command.line}: {command.words}\n{wrong}"
        assert "Traceback" not in alone.role.output
    finally:
        session.close()
        alone.close()


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("app   3s", "app 12s", True),
        ("app   3s", "app   1m2s", True),
        ("app   3s", "app   old", False),
        ("x@sha256:84ab07…   2 seconds ago", "x@sha256:0123456789   Less than a second ago", True),
        ("at: 2026-01-02T03:04:05Z", "at: 2027-11-12T13:14:15Z", True),
        ("name: …", "name: anything at all", True),
        ("100%   1/0", "0%   1/0", False),
    ],
)
def test_only_what_differs_from_run_to_run_may_differ(shown, printed, same):
    assert matches(shown, printed) is same
