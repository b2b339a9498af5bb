"""Fixtures for tests of imports: harnesses on each database, and a registry with images."""

import pytest

from tests import fixtures as fx
from tests.integration.imports.import_harness import ImportHarness


@pytest.fixture
def open_harness(tmp_path, ready_database_url):
    """Open harnesses with the given settings; they are closed after the test."""
    opened = []

    def open_one(**settings):
        harness = ImportHarness(
            data_dir=tmp_path / f"data{len(opened)}", database_url=ready_database_url, **settings
        )
        opened.append(harness)
        return harness

    yield open_one
    for harness in opened:
        harness.close()


@pytest.fixture
def harness(open_harness):
    return open_harness()


@pytest.fixture
def reg(fake):
    """A fake registry whose repository `a/b` has `t` = S2 and `u` = OCI."""
    fake.push("a/b", tag="t", manifest=fx.S2, media_type=fx.S2_TYPE, config=fx.CFG_A)
    fake.push("a/b", tag="u", manifest=fx.OCI, media_type=fx.OCI_TYPE, config=fx.CFG_A)
    return fake
