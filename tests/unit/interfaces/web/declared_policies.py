"""The policies that the application's routes declare."""

from interfaces.web.route_policy import route_policies
from tests.unit.interfaces.web.edge import Edge

POLICIES = route_policies(Edge().app())
"""`METHOD /path/{parameter}` -> RoutePolicy."""
