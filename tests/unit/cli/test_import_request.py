"""Tests of build_job_request: the request that the options of `tagstream import` give."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.import_request import ImportOptions, build_job_request, parse_destination, parse_source
from models.errors import UsageError
from models.job_types import Priority


def build(reference, **options):
    return build_job_request(
        ImportOptions(reference, **options), user="me", max_tags=options.pop("max_tags", -1)
    )


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
def test_build_job_request_names_stream_and_tag_after_reference(reference, stream, tag):
    job = build(reference)
    [image] = job.request.spec.images
    requested = reference.replace(":2@", "@")  # a digest needs no tag
    assert (job.stream, image.to.name, image.from_.name) == (stream, tag, requested)
    assert (job.priority, job.max_tags, job.user) == (Priority.INTERACTIVE, None, "me")


def test_build_job_request_of_whole_repository_has_bulk_priority_and_no_cap():
    job = build("quay.io/a/b", all_tags=True)
    assert job.request.spec.images == []
    assert job.request.spec.repository.from_.name == "quay.io/a/b"
    assert (job.priority, job.max_tags) == (Priority.BULK, -1)


def test_build_job_request_uses_default_import_mode_unless_given():
    without_mode = build_job_request(
        ImportOptions("a/b:1"), user="", default_mode="PreserveOriginal"
    )
    with_mode = build_job_request(
        ImportOptions("a/b:1", import_mode="Legacy"), user="", default_mode="PreserveOriginal"
    )
    modes = [
        job.request.spec.images[0].import_policy.import_mode for job in (without_mode, with_mode)
    ]
    assert modes == ["PreserveOriginal", "Legacy"]


def test_build_job_request_of_dry_run_does_not_import():
    assert build("a/b:1", dry_run=True).request.spec.import_ is False


@given(st.text(max_size=120))
def test_parse_source_returns_reference_or_raises_usage_error(text):
    try:
        assert parse_source(text).name
    except UsageError:
        return


@given(st.text(max_size=120))
def test_parse_destination_returns_name_and_tag_or_raises_usage_error(text):
    try:
        name, tag = parse_destination(text)
    except UsageError:
        return
    assert text in {name, f"{name}:{tag}"}
