"""C2: a reference in a portfolio resolves inside its namespace only."""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from application.facility.bms_networks import BmsNetworks
from application.facility.portfolio_entries import BmsEntry, FacilityEntry, Portfolio, UtilityEntry
from application.facility.portfolio_validation import PortfolioInvalid, PortfolioRules, check_references
from application.facility.secret_references import PURPOSES, Purpose, SecretNamespace
from interfaces.settings.secrets import (
    MAX_SECRET_BYTES,
    PortfolioSecrets,
    SecretNotFound,
    SecretReferenceInvalid,
    SecretReferenceRefused,
    SecretTooLarge,
    SecretUnreadable,
)
from interfaces.settings.settings import SettingsError, read_settings
from tests.sample_values import facility_entry
from tests.unit.interfaces.web.edge import Edge, problem_of

SETTING = "GRIDPROOF_MIGRATION_DATABASE_URL"
ENVIRON = {
    "GRIDPROOF_SECRET_BMS_CITY": "s3cret",
    "GRIDPROOF_SECRET_CALLBACK_CITY": "signs",
    "GRIDPROOF_SECRET_OTHER": "of no purpose",
    SETTING: "postgresql://gridproof_owner:password@127.0.0.1/gridproof",
    "AWS_SECRET_ACCESS_KEY": "cloud",
    "CITY": "another secret",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of secrets, in a data folder beside the key of the ledger."""
    (tmp_path / "data" / "secrets" / "bms").mkdir(parents=True)
    (tmp_path / "data" / "ledger.key").write_text("-----BEGIN PRIVATE KEY-----", encoding="utf-8")
    (tmp_path / "data" / "secrets" / "bms" / "fac-001").write_bytes(b"sesame\n")
    return tmp_path / "data" / "secrets"


def secrets(folder: Path, *, reserved: Iterable[str] = ()) -> PortfolioSecrets:
    return PortfolioSecrets(SecretNamespace(folder=str(folder)), reserved=reserved, environ=ENVIRON)


def test_what_is_in_the_namespace_resolves(folder: Path) -> None:
    resolve = secrets(folder).resolver("bms")
    assert resolve("env:GRIDPROOF_SECRET_BMS_CITY") == b"s3cret"
    assert resolve(f"file:{folder}/bms/fac-001") == b"sesame"
    with pytest.raises(SecretNotFound):
        resolve(f"file:{folder}/bms/fac-002")


def test_no_reference_reaches_a_setting_or_a_file_of_the_service(folder: Path) -> None:
    outside = folder.parent.parent / "link"
    outside.symlink_to(folder.parent / "ledger.key")
    for reference in (
        f"env:{SETTING}",
        "env:AWS_SECRET_ACCESS_KEY",
        f"file:{folder.parent}/ledger.key",
        f"file:{folder}/../ledger.key",
        f"file:{outside}",
        "file:/proc/self/environ",
        "file:/proc/self/status",
        "file:/dev/null",
    ):
        with pytest.raises(SecretReferenceRefused, match="refused"):
            secrets(folder).resolve(reference, purpose="bms")


def test_no_reference_reaches_a_secret_that_a_setting_refers_to(folder: Path) -> None:
    ledger = folder / "ledger"
    ledger.write_text("PEM", encoding="utf-8")
    os.link(ledger, folder / "bms" / "again")
    reserved = (f"file:{ledger}", "env:GRIDPROOF_SECRET_BMS_CITY")
    for reference in (*reserved, f"file:{folder}/bms/again"):
        with pytest.raises(SecretReferenceRefused):
            secrets(folder, reserved=reserved).resolve(reference, purpose="bms")


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_secret_of_another_purpose_is_refused(folder: Path, purpose: Purpose) -> None:
    """The password of a building goes to an address that whoever names it chose."""
    for other in set(PURPOSES) - {purpose}:
        for reference in (f"env:GRIDPROOF_SECRET_{other.upper()}_CITY", f"file:{folder}/{other}/fac-001"):
            assert SecretNamespace(folder=str(folder)).problem(reference, purpose) is not None
            with pytest.raises(SecretReferenceRefused, match="purpose"):
                secrets(folder).resolve(reference, purpose=purpose)


def test_no_symbolic_link_below_the_folder_is_followed(folder: Path) -> None:
    (folder / "bms" / "file").symlink_to(folder.parent / "ledger.key")
    (folder / "bms" / "inner").symlink_to(folder.parent)
    for name in ("file", "inner/ledger.key"):
        with pytest.raises(SecretUnreadable):
            secrets(folder).resolve(f"file:{folder}/bms/{name}", purpose="bms")


def test_the_list_has_the_names_that_resolve_and_no_secret_of_the_service(folder: Path) -> None:
    bms = folder / "bms"
    (bms / "ledger").write_text("PEM", encoding="utf-8")
    (bms / "link").symlink_to(folder.parent / "ledger.key")
    (bms / "inner").symlink_to(folder.parent)
    (bms / "empty").touch()
    listed = secrets(folder, reserved=[f"file:{bms}/ledger"]).listed("bms")
    assert listed == ["env:GRIDPROOF_SECRET_BMS_CITY", f"file:{folder}/bms/fac-001"]


def test_only_a_regular_file_of_bounded_size_is_a_secret(folder: Path) -> None:
    (folder / "bms" / "folder").mkdir()
    os.mkfifo(folder / "bms" / "pipe")
    (folder / "bms" / "large").write_bytes(b"x" * (MAX_SECRET_BYTES + 1))
    for name, error in (("pipe", SecretUnreadable), ("folder", SecretUnreadable), ("large", SecretTooLarge)):
        with pytest.raises(error):
            secrets(folder).resolve(f"file:{folder}/bms/{name}", purpose="bms")


def test_a_reference_outside_of_the_namespace_is_refused_with_what_to_do(folder: Path) -> None:
    file = folder.parent.parent / "city"
    file.write_bytes(b"another secret\n")
    for reference in ("env:CITY", f"file:{file}"):
        with pytest.raises(
            SecretReferenceRefused, match=r"outside .* refer to a variable GRIDPROOF_SECRET_BMS_\*"
        ):
            secrets(folder).resolve(reference, purpose="bms")


def test_what_is_no_reference_is_refused_and_never_repeated(folder: Path) -> None:
    for text in ("hunter2", "env:", "file:relative", "vault:hunter2", ""):
        with pytest.raises(SecretReferenceInvalid) as refusal:
            secrets(folder).resolve(text, purpose="bms")
        assert "hunter2" not in str(refusal.value)
    with pytest.raises(SecretReferenceInvalid):
        secrets(folder).resolve("file:/tmp/\0", purpose="bms")


def test_an_import_refuses_a_reference_outside(folder: Path) -> None:
    def check(portfolio: Portfolio) -> None:
        rules = PortfolioRules(SecretNamespace(folder=str(folder)), BmsNetworks.of("127.0.0.0/8"))
        check_references(
            portfolio,
            known_utilities=("util-1",),
            known_programs={"summer-peak": None},
            rules=rules,
        )

    def facility(reference: str, facility_id: str = "fac-001") -> FacilityEntry:
        bms = BmsEntry(address="http://127.0.0.1:1/bms", credentials_ref=reference)
        return facility_entry(facility_id, bms=bms)

    check(
        Portfolio(
            facilities=(
                facility("env:GRIDPROOF_SECRET_BMS_HALL"),
                facility(f"file:{folder}/bms/b", "fac-002"),
            )
        )
    )
    with pytest.raises(PortfolioInvalid) as refusal:
        check(
            Portfolio(
                utilities=(
                    UtilityEntry(utility_id="util-1", callback_secret_ref=f"file:{folder}/../ledger.key"),
                ),
                facilities=(facility(f"env:{SETTING}"), facility("hunter2", "fac-002")),
            )
        )
    assert [problem.partition(":")[0] for problem in refusal.value.problems] == [
        "utilities[0].callback_secret_ref",
        "facilities[0].bms.credentials_ref",
        "facilities[1].bms.credentials_ref",
    ]
    assert "env:GRIDPROOF_SECRET_BMS_NAME" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_a_reference_outside_is_refused_over_http_for_every_role() -> None:
    edge = Edge(others={"known_programs": lambda asked: dict.fromkeys({"summer-peak"} & set(asked))})
    entry = {
        "facility_id": "fac-003",
        "meters": [{"meter_id": "main"}],
        "zones": [{"zone_id": "zone-1", "curtailable_kw": 40}],
        "programs": ["summer-peak"],
    }
    for role in ("operator", "admin"):
        key = edge.key(role)
        with edge.client() as client:
            for reference in (
                f"env:{SETTING}",
                "env:GRIDPROOF_SECRET_CALLBACK_CITY",
                "file:/var/lib/gridproof/ledger.key",
                "file:/proc/self/environ",
            ):
                bms = {"address": "https://bms.example/x", "credentials_ref": reference}
                document = problem_of(client.post("/api/facilities", json=entry | {"bms": bms}, headers=key))
                assert document["status"] == 400
                assert [reason["field"] for reason in document["reasons"]] == ["bms.credentials_ref"]
    assert edge.commands.given == []


def test_a_folder_of_secrets_that_holds_those_of_the_service_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for folder in (data, tmp_path, data / "archive"):
        with pytest.raises(SettingsError, match="GRIDPROOF_SECRETS_DIR"):
            read_settings({"GRIDPROOF_DATA_DIR": str(data), "GRIDPROOF_SECRETS_DIR": str(folder)})
    assert read_settings({"GRIDPROOF_DATA_DIR": str(data)}).secrets_folder == data / "secrets"
