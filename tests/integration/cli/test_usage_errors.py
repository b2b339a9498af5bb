"""Usage errors and missing objects are reported in one line: what, where and what to do."""

import pytest

USAGE_ERRORS = [
    ("frobnicate", "No such command 'frobnicate'"),
    ("import", "Missing argument 'REF'"),
    ("import a/b c/d", "unexpected extra argument"),
    ("import https://quay.io/a/b:1", "leave out 'https://'"),
    ("import docker://quay.io/a/b:1", "leave out 'docker://'"),
    ("import QUAY/B", "repository name must be lowercase"),
    ("import quay.io", "names a registry but no repository"),
    ("import a..b/c", "is not an image reference"),
    ("import a/b:", "is not an image reference"),
    ("import a/b@sha256:12", "is not an image reference"),
    ("import a/b@md5:00000000000000000000000000000000", "unsupported digest algorithm"),
    ("import user:hunter2-canary@quay.io/a/b", "'…@quay.io/a/b' is not an image reference"),
    ("import a/b:1 --all", "leave out ':1', or --all"),
    ("import a/b --all --to x:1", "write --to x"),
    ("import a/b --to :x", "write STREAM or STREAM:TAG"),
    ("import a/b --to x:", "write STREAM or STREAM:TAG"),
    ("import a/b --to x:.y", "is not a tag"),
    ("import a/b --to Bad", "is not a stream name"),
    ("import a/b__c", "choose one with --to STREAM"),
    ("import a/b -n UP", "is not a namespace"),
    ("import a/b -o xml", "'xml' is not one of"),
    ("import a/b --import-mode Best", "'Legacy', 'PreserveOriginal'"),
    ("import a/b --reference-policy None", "'Source', 'Local'"),
    ("import a/b --al", "No such option"),
    ("get things", "is not a kind; choose one of streams, images, jobs"),
    ("get jobs 12", "too short for a job's id"),
    ("get jobs --limit 0", "--limit"),
    ("describe", "Missing argument 'STREAM[:TAG]'"),
    ("describe a:b:c", "is not a tag"),
    ("describe UP", "is not a stream name"),
    ("history b --at yesterday", "write 2026-03-03T14:05 (UTC)"),
    ("history b --at 2026-13-41", "write 2026-03-03T14:05 (UTC)"),
    ("history b --at 999999w", "write 2026-03-03T14:05 (UTC)"),
    ("reimport", "give either STREAM[:TAG] or --all"),
    ("reimport a --all", "give either STREAM[:TAG] or --all"),
    ("reimport a -A", "-A requires --all"),
    ("jobs --watch -o json", "--watch shows a table"),
    ("job", "job"),
    ("job cancel", "Missing argument 'ID'"),
    ("job cancel zz", "too short for a job's id"),
    ("secret create x", "give the credentials in exactly one way"),
    ("secret create X --from-file /nope", "is not a name for a secret"),
    ("secret create x --from-file /nope", "/nope cannot be read"),
    ("secret create x --from-file /etc/passwd", "/etc/passwd is not JSON"),
    ("secret create x --from-file / ", "/ cannot be read"),
    ("secret create x --docker-username u", "are used together"),
    ("secret create x --docker-password-stdin", "are used together"),
    ("secret create x --docker-username u --docker-password-stdin", "no password on stdin"),
    ("secret create x --docker-password hunter2-canary", "and use --docker-password-stdin"),
    ("secret create x --docker-password=hunter2-canary", "and use --docker-password-stdin"),
    ("secret create x --from-docker-login quay.io", "config.json cannot be read"),
    ("secret create x --from-docker-login a@b", "is a host, like quay.io"),
    ("secret create x --from-docker-login q --from-file f", "in exactly one way"),
    ("completion tcsh", "'bash', 'zsh', 'fish'"),
    ("worker", "a worker needs TAGSTREAM_BROKER_URL and TAGSTREAM_DATABASE_URL"),
    ("--data /etc/passwd get", "'/etc/passwd' is a file"),
]
INVALID_SETTINGS = [
    ({"TAGSTREAM_WORKER_THREADS": "hunter2-canary"}, "TAGSTREAM_WORKER_THREADS is invalid"),
    ({"TAGSTREAM_MIRRORS": "hunter2-canary"}, "TAGSTREAM_MIRRORS cannot be parsed"),
    ({"TAGSTREAM_LOG_LEVEL": "loud"}, "write DEBUG, INFO"),
    ({"TAGSTREAM_DATABASE_URL": "mysql://u:hunter2-canary@h/x"}, "cannot store its data"),
    ({"TAGSTREAM_DATABASE_URL": "hunter2-canary"}, "the database URL cannot be parsed"),
    ({"TAGSTREAM_BROKER_URL": "redis://:hunter2-canary@h/0"}, "TAGSTREAM_DATABASE_URL is not"),
]


@pytest.mark.parametrize(
    ("command_line", "message"),
    USAGE_ERRORS,
    ids=[command_line for command_line, _ in USAGE_ERRORS],
)
def test_usage_error_exits_2_with_one_line(cli, command_line, message):
    result = cli(*command_line.split())
    assert message in result.err
    assert result.out == ""
    assert (result.code, result.err.count("\n")) == (2, 1)


@pytest.mark.parametrize(("environment", "message"), INVALID_SETTINGS)
def test_invalid_setting_is_named_without_its_value(cli, environment, message):
    result = cli("get", **environment)
    assert message in result.err
    assert (result.code, result.err.count("\n")) == (2, 1)


def test_missing_object_exits_1_with_hint(cli):
    for command_line, hint in {
        "describe nope": "tagstream get --all-namespaces",
        "history nope": "tagstream get --all-namespaces",
        "reimport nope": "tagstream get --all-namespaces",
        "get images sha256:abc": "tagstream get images --all-namespaces",
        "job cancel 00000000": "tagstream jobs --all-namespaces",
        "secret delete nope": "tagstream secret list --all-namespaces",
    }.items():
        result = cli(*command_line.split())
        assert "not found" in result.err
        assert hint in result.err
        assert (result.code, result.err.count("\n"), result.out) == (1, 1, "")


def test_unreachable_database_is_reported_without_password(cli):
    url = "postgresql://me:hunter2-canary@127.0.0.1:1/x"
    result = cli("get", TAGSTREAM_DATABASE_URL=url)
    assert "postgresql at 127.0.0.1:1" in result.err
    assert (result.code, result.err.count("\n")) == (1, 1)


def test_data_directory_that_cannot_be_created_is_named(cli):
    result = cli("--data", "/proc/nope", "get")
    assert "/proc/nope" in result.err
    assert (result.code, result.err.count("\n")) == (1, 1)
