"""What was typed, and the request that it means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.import_request import Wish, build_request, parse_destination, parse_source
from models.errors import UsageError
from models.job_types import Lane


def build(reference, **wish):
    return build_request(Wish(reference, **wish), user="me", ceiling=wish.pop("ceiling", -1))


@pytest.mark.parametrize(
    ("reference", "stream", "tag"),
    [
        ("quay.io/a/b:1", "b", "1"),
        ("quay.io/a/b", "b", "latest"),
        ("nginx", "nginx", "latest"),
        ("localhost:5000/b:x", "b", "x"),
        ("quay.io/a/deep/er/c:1", "c", "1"),
        (f"quay.io/a/b@sha256:{'0' * 64}", "b", "latest"),
        (f"quay.io/a/b:2@sha256:{'0' * 64}", "b", "2"),
    ],
)
def test_stream_and_tag_are_named_like_the_reference(reference, stream, tag):
    job = build(reference)
    [image] = job.request.spec.images
    said = reference.replace(":2@", "@")  # what a digest names needs no tag
    assert (job.stream, image.to.name, image.from_.name) == (stream, tag, said)
    assert (job.lane, job.max_tags, job.user) == (Lane.INTERACTIVE, None, "me")


def test_a_whole_repository_goes_to_the_bulk_lane_without_the_stock_cap():
    job = build("quay.io/a/b", whole=True)
    assert job.request.spec.images == []
    assert job.request.spec.repository.from_.name == "quay.io/a/b"
    assert (job.lane, job.max_tags) == (Lane.BULK, -1)


def test_the_servers_import_mode_holds_where_none_was_typed():
    plain = build_request(Wish("a/b:1"), user="", default_mode="PreserveOriginal")
    typed = build_request(
        Wish("a/b:1", import_mode="Legacy"), user="", default_mode="PreserveOriginal"
    )
    modes = [job.request.spec.images[0].import_policy.import_mode for job in (plain, typed)]
    assert modes == ["PreserveOriginal", "Legacy"]


def test_a_dry_run_asks_for_no_import():
    assert build("a/b:1", dry_run=True).request.spec.import_ is False


@given(st.text(max_size=120))
def test_any_text_is_a_reference_or_gets_a_usage_error(text):
    try:
        assert parse_source(text).name
    except UsageError:
        return


@given(st.text(max_size=120))
def test_any_text_is_a_destination_or_gets_a_usage_error(text):
    try:
        name, tag = parse_destination(text)
    except UsageError:
        return
    assert text in {name, f"{name}:{tag}"}
