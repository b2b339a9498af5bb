"""Selection of the child of an index by a Legacy import (imports-3.15, imports-3.16)."""

import pytest

from models.images.image_index import PlatformPreference, choose_child, is_attestation
from models.images.manifest import IndexDocument, parse_manifest
from models.oci import Descriptor, Platform
from tests import fixtures as fx

PREFERRED = PlatformPreference("amd64", "linux")


def entry(number, *platform, **annotations):
    return Descriptor(
        media_type=fx.OCI_TYPE,
        digest="sha256:" + f"{number:064x}",
        size=1,
        platform=Platform(*platform) if platform else None,
        annotations=annotations,
    )


def index_of(*entries):
    return IndexDocument(fx.INDEX_TYPE, fx.L1, b"", entries)


@pytest.mark.case("import 3-13", "import 3-17")
@pytest.mark.parametrize(
    ("prefer", "child"),
    [
        (PREFERRED, fx.OCI_BARE),
        (PlatformPreference("arm64", "linux"), fx.OCI_ARM),
        (PlatformPreference("s390x", "linux"), fx.OCI_BARE),
        (PlatformPreference("amd64", "windows"), fx.OCI_BARE),
    ],
)
def test_choose_child_prefers_platform_then_amd64_linux(prefer, child):
    index = parse_manifest(fx.INDEX, content_type=fx.INDEX_TYPE)
    assert choose_child(index, prefer).digest == fx.digest_of(child)


@pytest.mark.case("import 3-19")
def test_choose_child_never_returns_attestation():
    attestation, arm = entry(1, "unknown", "unknown"), entry(2, "arm64", "linux")
    assert choose_child(index_of(attestation, arm), PREFERRED) == arm
    assert choose_child(index_of(attestation), PREFERRED) is None
    marked = entry(3, "amd64", "linux", **{"vnd.docker.reference.type": "attestation-manifest"})
    assert is_attestation(marked)
    assert choose_child(index_of(marked, arm), PREFERRED) == arm


@pytest.mark.case("import 3-20")
def test_choose_child_returns_only_entry_of_other_platform():
    arm = entry(1, "arm64", "linux")
    assert choose_child(index_of(arm), PREFERRED) == arm


@pytest.mark.case("import 3-22")
def test_choose_child_of_empty_index_returns_none():
    assert choose_child(index_of(), PREFERRED) is None


def test_choose_child_uses_entry_without_platform_last():
    bare, amd = entry(1), entry(2, "amd64", "linux")
    assert choose_child(index_of(bare, amd), PREFERRED) == amd
    assert choose_child(index_of(bare), PREFERRED) == bare


def test_choose_child_prefers_newest_arm_variant_unless_requested():
    v6, v7 = entry(1, "arm", "linux", "v6"), entry(2, "arm", "linux", "v7")
    assert choose_child(index_of(v6, v7), PlatformPreference("arm", "linux")) == v7
    assert choose_child(index_of(v6, v7), PlatformPreference("arm", "linux", "v6")) == v6
