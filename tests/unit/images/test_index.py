"""Which child of an index a Legacy import takes (`import.md` 3.6)."""

import pytest

from models.images.image_index import PlatformPreference, choose_child, is_attestation
from models.images.manifest import IndexDocument, parse_manifest
from models.oci import Descriptor, Platform
from tests import fixtures as fx

HERE = PlatformPreference("amd64", "linux")


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
        (HERE, fx.OCI_BARE),
        (PlatformPreference("arm64", "linux"), fx.OCI_ARM),
        (PlatformPreference("s390x", "linux"), fx.OCI_BARE),
        (PlatformPreference("amd64", "windows"), fx.OCI_BARE),
    ],
)
def test_the_wished_platform_wins_and_amd64_linux_is_second(prefer, child):
    index = parse_manifest(fx.INDEX, content_type=fx.INDEX_TYPE)
    assert choose_child(index, prefer).digest == fx.digest_of(child)


@pytest.mark.case("import 3-19")
def test_an_attestation_is_never_chosen():
    attestation, arm = entry(1, "unknown", "unknown"), entry(2, "arm64", "linux")
    assert choose_child(index_of(attestation, arm), HERE) == arm
    assert choose_child(index_of(attestation), HERE) is None
    marked = entry(3, "amd64", "linux", **{"vnd.docker.reference.type": "attestation-manifest"})
    assert is_attestation(marked)
    assert choose_child(index_of(marked, arm), HERE) == arm


@pytest.mark.case("import 3-20")
def test_the_only_platform_is_taken_whatever_was_wished():
    arm = entry(1, "arm64", "linux")
    assert choose_child(index_of(arm), HERE) == arm


@pytest.mark.case("import 3-22")
def test_an_empty_index_has_no_child():
    assert choose_child(index_of(), HERE) is None


def test_an_entry_without_platform_is_the_last_resort():
    bare, amd = entry(1), entry(2, "amd64", "linux")
    assert choose_child(index_of(bare, amd), HERE) == amd
    assert choose_child(index_of(bare), HERE) == bare


def test_of_32_bit_arm_the_newest_variant_is_taken_unless_another_is_wished():
    v6, v7 = entry(1, "arm", "linux", "v6"), entry(2, "arm", "linux", "v7")
    assert choose_child(index_of(v6, v7), PlatformPreference("arm", "linux")) == v7
    assert choose_child(index_of(v6, v7), PlatformPreference("arm", "linux", "v6")) == v6
