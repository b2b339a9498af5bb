"""Imports that a stream's spec makes due; the job reads what is due when it runs.

Rules: imports-6.13, imports-6.14, imports-6.15.
"""

import pytest

from models.job_types import JobState
from models.resources.stream import ImageStream
from models.streams.imports.import_trigger import build_due_import
from models.streams.writes.stream_strategy import prepare_create


def new_stream(reg, *tags):
    spec = {
        "tags": [
            {
                "name": tag,
                "from": {"kind": "DockerImage", "name": f"{reg.host}/a/b:{tag}"},
                "importPolicy": {"insecure": True},
            }
            for tag in tags
        ]
    }
    stream = ImageStream.model_validate(
        {"metadata": {"name": "is", "namespace": "ns"}} | {"spec": spec}
    )
    return prepare_create(stream, accept_status=False)


@pytest.mark.case("import 6-34")
def test_stream_updated_before_its_import_is_imported(harness, reg):
    first = harness.save_stream(None, new_stream(reg, "t"))
    request = build_due_import(first)
    labelled = first.replace(metadata=first.metadata.replace(labels={"a": "b"}))
    harness.save_stream(first, labelled)
    done = harness.run(request, due=True, wants_response=False)
    assert done.state is JobState.SUCCEEDED, done.result.error
    assert done.result.tags_imported == 1
    assert harness.stream().metadata.labels == {"a": "b"}
    assert harness.stream().status_tag("t").items


def test_repeated_due_import_imports_nothing(harness, reg):
    first = harness.save_stream(None, new_stream(reg, "t"))
    request = build_due_import(first)
    assert harness.run(request, due=True, wants_response=False).result.tags_imported == 1
    again = harness.run(request, due=True, wants_response=False)
    assert (again.state, again.result.tags_imported) == (JobState.SUCCEEDED, 0)


@pytest.mark.case("import 6-34")
def test_due_import_of_deleted_stream_succeeds(harness, reg):
    request = build_due_import(harness.save_stream(None, new_stream(reg, "t")).replace())
    gone = request.replace(metadata=request.metadata.replace(name="gone"))
    done = harness.run(gone, due=True, wants_response=False)
    assert (done.state, done.result.error) == (JobState.SUCCEEDED, None)
