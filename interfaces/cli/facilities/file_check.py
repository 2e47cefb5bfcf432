"""The check of a portfolio file before it is imported: its fields, and its references against what is recorded."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from interfaces.cli.console.lazy_group import to_click_exception
from interfaces.cli.console.session import opened_stores

if TYPE_CHECKING:
    from application.facility.partial_portfolio import PartialPortfolio
    from application.facility.portfolio_entries import Portfolio
    from interfaces.bootstrap import Stores


def read_checked(content: bytes) -> "Portfolio":
    """Raises PortfolioInvalid: where fields are wrong, and a system runs, with the wrong references of the rest too."""
    from application.facility.portfolio_validation import PortfolioInvalid, read_portfolio

    try:
        return read_portfolio(content)
    except PortfolioInvalid as wrong:
        further = () if wrong.readable is None else _wrong_references(wrong.readable)
        raise PortfolioInvalid([*wrong.problems, *further]) from None


def _wrong_references(readable: "PartialPortfolio") -> tuple[str, ...]:
    """None while no system can be asked: the wrong fields are named all the same."""
    from application.facility.portfolio_validation import PortfolioInvalid

    try:
        with opened_stores() as stores:
            check_recorded(readable.portfolio, stores, unread=readable.unread)
    except PortfolioInvalid as wrong:
        return wrong.problems
    except Exception as error:
        if to_click_exception(error) is None:
            raise
    return ()


def check_recorded(portfolio: "Portfolio", stores: "Stores", *, unread: Collection[str] = ()) -> None:
    """Raises PortfolioInvalid."""
    from application.facility.portfolio_validation import check_references
    from interfaces.bootstrap import portfolio_rules

    check_references(
        portfolio,
        known_utilities=[entry.utility_id for entry in stores.utilities().listed()],
        known_programs=stores.existing_programs(
            [name for facility in portfolio.facilities for name in facility.program_ids]
        ),
        rules=portfolio_rules(stores.settings),
        unread=unread,
    )
