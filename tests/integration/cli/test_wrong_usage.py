"""Whatever a person can type wrongly gets one line that says what, where and what to do."""

import pytest

WRONG = [
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
    ("get things", "is none of streams, images, jobs"),
    ("get jobs 12", "too short for a job's id"),
    ("get jobs --limit 0", "--limit"),
    ("describe", "Missing argument 'STREAM[:TAG]'"),
    ("describe a:b:c", "is not a tag"),
    ("describe UP", "is not a stream name"),
    ("history b --at yesterday", "write 2026-03-03T14:05 (UTC)"),
    ("history b --at 2026-13-41", "write 2026-03-03T14:05 (UTC)"),
    ("history b --at 999999w", "write 2026-03-03T14:05 (UTC)"),
    ("reimport", "name a STREAM[:TAG], or say --all"),
    ("reimport a --all", "name a STREAM[:TAG], or say --all"),
    ("reimport a -A", "-A belongs to --all"),
    ("jobs --watch -o json", "--watch shows a table"),
    ("job", "job"),
    ("job cancel", "Missing argument 'ID'"),
    ("job cancel zz", "too short for a job's id"),
    ("secret create x", "say where the credentials come from"),
    ("secret create X --from-file /nope", "is not a name for a secret"),
    ("secret create x --from-file /nope", "/nope cannot be read"),
    ("secret create x --from-file /etc/passwd", "/etc/passwd is not JSON"),
    ("secret create x --from-file / ", "/ cannot be read"),
    ("secret create x --docker-username u", "belong together"),
    ("secret create x --docker-password-stdin", "belong together"),
    ("secret create x --docker-username u --docker-password-stdin", "stdin held no password"),
    ("secret create x --docker-password hunter2-canary", "say --docker-password-stdin"),
    ("secret create x --docker-password=hunter2-canary", "say --docker-password-stdin"),
    ("secret create x --from-docker-login quay.io", "config.json cannot be read"),
    ("secret create x --from-docker-login a@b", "is a host, like quay.io"),
    ("secret create x --from-docker-login q --from-file f", "in one way"),
    ("completion tcsh", "'bash', 'zsh', 'fish'"),
    ("worker", "a worker needs TAGSTREAM_BROKER_URL and TAGSTREAM_DATABASE_URL"),
    ("--data /etc/passwd get", "'/etc/passwd' is a file"),
]
WRONG_SETTINGS = [
    ({"TAGSTREAM_WORKER_THREADS": "hunter2-canary"}, "TAGSTREAM_WORKER_THREADS is not"),
    ({"TAGSTREAM_MIRRORS": "hunter2-canary"}, "TAGSTREAM_MIRRORS cannot be read"),
    ({"TAGSTREAM_LOG_LEVEL": "loud"}, "write DEBUG, INFO"),
    ({"TAGSTREAM_DATABASE_URL": "mysql://u:hunter2-canary@h/x"}, "cannot keep its data"),
    ({"TAGSTREAM_DATABASE_URL": "hunter2-canary"}, "the database URL cannot be read"),
    ({"TAGSTREAM_BROKER_URL": "redis://:hunter2-canary@h/0"}, "TAGSTREAM_DATABASE_URL is not"),
]


@pytest.mark.parametrize(("line", "said"), WRONG, ids=[line for line, _ in WRONG])
def test_wrong_usage_ends_with_two_and_one_helpful_line(cli, line, said):
    ended = cli(*line.split())
    assert said in ended.err
    assert ended.out == ""
    assert (ended.code, ended.err.count("\n")) == (2, 1)


@pytest.mark.parametrize(("environment", "said"), WRONG_SETTINGS)
def test_a_wrong_setting_is_named_without_its_value(cli, environment, said):
    ended = cli("get", **environment)
    assert said in ended.err
    assert (ended.code, ended.err.count("\n")) == (2, 1)


def test_what_does_not_exist_ends_with_one_and_says_where_to_look(cli):
    for line, hint in {
        "describe nope": "tagstream get --all-namespaces",
        "history nope": "tagstream get --all-namespaces",
        "reimport nope": "tagstream get --all-namespaces",
        "get images sha256:abc": "tagstream get images --all-namespaces",
        "job cancel 00000000": "tagstream jobs --all-namespaces",
        "secret delete nope": "tagstream secret list --all-namespaces",
    }.items():
        ended = cli(*line.split())
        assert "not found" in ended.err
        assert hint in ended.err
        assert (ended.code, ended.err.count("\n"), ended.out) == (1, 1, "")


def test_a_database_that_is_away_is_told_without_its_password(cli):
    url = "postgresql://me:hunter2-canary@127.0.0.1:1/x"
    ended = cli("get", TAGSTREAM_DATABASE_URL=url)
    assert "postgresql at 127.0.0.1:1" in ended.err
    assert (ended.code, ended.err.count("\n")) == (1, 1)


def test_a_data_directory_that_cannot_be_made_is_named(cli):
    ended = cli("--data", "/proc/nope", "get")
    assert "/proc/nope" in ended.err
    assert (ended.code, ended.err.count("\n")) == (1, 1)
