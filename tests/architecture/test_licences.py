"""The licences of all installed distributions are compatible with Apache-2.0."""

import pytest

from tests.architecture.licences import installed_licences, is_refused


def test_no_installed_licence_is_refused() -> None:
    licences = installed_licences()
    assert len(licences) > 50
    assert {name: licence for name, licence in licences.items() if is_refused(licence)} == {}


@pytest.mark.parametrize(
    "licence",
    [
        "",
        "UNKNOWN",
        "GPL-3.0-or-later",
        "AGPL-3.0-only",
        "GNU General Public License v3 (GPLv3)",
        "GNU Affero General Public License v3",
        "MIT AND GPL-2.0-only",
        "GPL-3.0-only AND (MIT OR BSD-3-Clause)",
    ],
)
def test_gpl_agpl_and_an_unstated_licence_are_refused(licence: str) -> None:
    assert is_refused(licence)


@pytest.mark.parametrize(
    "licence",
    [
        "MIT",
        "LGPL-3.0-only",
        "GNU Lesser General Public License v3 (LGPLv3)",
        "Mozilla Public License 2.0 (MPL 2.0)",
        "GPL-2.0-only OR Apache-2.0",
        "MPL-2.0 AND (Apache-2.0 OR GPL-2.0-only)",
        "BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1",
    ],
)
def test_lgpl_and_a_choice_without_gpl_are_allowed(licence: str) -> None:
    assert not is_refused(licence)
