"""Imports that a stream's spec makes due: what is due is looked up when it is carried out (6.9)."""

import pytest

from models.job_types import JobState
from models.resources.stream import ImageStream
from models.streams.imports.import_trigger import due_import
from models.streams.writes.stream_strategy import prepare_create


def wanted(reg, *tags):
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
    return prepare_create(stream, keep_status=False)


@pytest.mark.case("import 6-34")
def test_a_stream_that_moved_before_its_import_is_imported_all_the_same(house, reg):
    first = house.save_stream(None, wanted(reg, "t"))
    request = due_import(first)
    labelled = first.replace(metadata=first.metadata.replace(labels={"a": "b"}))
    house.save_stream(first, labelled)
    done = house.run(request, due=True, wants_answer=False)
    assert done.state is JobState.SUCCEEDED, done.result.error
    assert done.result.imported == 1
    assert house.stream().metadata.labels == {"a": "b"}
    assert house.stream().status_tag("t").items


def test_a_job_whose_work_is_done_already_ends_idle(house, reg):
    first = house.save_stream(None, wanted(reg, "t"))
    request = due_import(first)
    assert house.run(request, due=True, wants_answer=False).result.imported == 1
    again = house.run(request, due=True, wants_answer=False)
    assert (again.state, again.result.imported) == (JobState.SUCCEEDED, 0)


@pytest.mark.case("import 6-34")
def test_a_stream_that_is_gone_is_dropped_without_an_error(house, reg):
    request = due_import(house.save_stream(None, wanted(reg, "t")).replace())
    gone = request.replace(metadata=request.metadata.replace(name="gone"))
    done = house.run(gone, due=True, wants_answer=False)
    assert (done.state, done.result.error) == (JobState.SUCCEEDED, None)
