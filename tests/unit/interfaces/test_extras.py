"""The error that names an extra to install."""

import sys

import pytest

from interfaces.cli.console.lazy_group import to_click_exception
from interfaces.extras import EXTRAS, ExtraMissing, missing_extra, require_extras_of


@pytest.mark.parametrize(
    ("extra", "module"), [(extra, one) for extra in EXTRAS for one in sorted(EXTRAS[extra])]
)
def test_a_failed_import_of_a_module_of_an_extra_names_the_extra(extra: str, module: str) -> None:
    error = ModuleNotFoundError(f"No module named '{module}.part'", name=f"{module}.part")
    shown = to_click_exception(error)
    assert shown is not None
    assert shown.exit_code == 1
    assert shown.message == f"this needs {module}, which is not installed: pip install 'gridproof[{extra}]'"


def test_another_failed_import_stays_a_programming_error() -> None:
    assert missing_extra(ModuleNotFoundError("No module named 'rich'", name="rich")) is None
    assert to_click_exception(ModuleNotFoundError("No module named 'rich'", name="rich")) is None
    assert missing_extra(ImportError("cannot import name 'parquet'", name="pyarrow")) is None


def test_an_absent_package_is_an_error_of_the_workers_that_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    require_extras_of(["web", "compute"])
    monkeypatch.setitem(sys.modules, "statsmodels", None)
    require_extras_of(["web", "project"])
    with pytest.raises(
        ExtraMissing, match=r"^the worker compute needs statsmodels.*'gridproof\[forecasting\]'$"
    ):
        require_extras_of(["web", "compute"])
