"""Weather over HTTP: the plain service of the simulator, and WeatherAPI.com."""

from adapters.weather.http_source import HttpWeatherSource
from adapters.weather.weatherapi import WeatherApiPlan, WeatherApiSource

__all__ = ["HttpWeatherSource", "WeatherApiPlan", "WeatherApiSource"]
