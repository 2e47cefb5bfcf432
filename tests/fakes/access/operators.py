"""Operators in memory."""

from application.ports.access.operators import Operator, OperatorNotFound


class FakeOperators:
    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def id_of(self, login: str, *, drawn: str) -> str:
        return self._ids.setdefault(login, drawn)

    def listed(self) -> list[Operator]:
        return [Operator(operator_id=one, login=login) for login, one in sorted(self._ids.items())]

    def forget(self, operator_id: str) -> None:
        if operator_id not in self._ids.values():
            raise OperatorNotFound(operator_id)
        self._ids = {login: one for login, one in self._ids.items() if one != operator_id}
