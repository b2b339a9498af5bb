"""A stream of scheduled tags, and updates of those tags in the registry."""

from tests import fixtures as fx
from tests.integration.imports.import_requests import img, isi


def schedule_tags(harness, reg, *tags, name="is", namespace="ns"):
    """Import a stream whose tags follow those of `a/b` on schedule."""
    images = [img(f"{reg.host}/a/b:{tag}", to=tag, scheduled=True) for tag in tags]
    harness.run(isi(*images, name=name, namespace=namespace))
    reg.forget_requests()


def update_tag(reg, tag="t"):
    return reg.push("a/b", tag=tag, manifest=fx.OCI_BARE, media_type=fx.OCI_TYPE, config=fx.CFG_A)
