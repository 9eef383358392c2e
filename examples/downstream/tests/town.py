"""What the tools of the desk reach in a test."""


class Town:
    """Stations that know their weather, and what everybody was told."""

    def __init__(self) -> None:
        self.weather = {"Paris": "21 °C, sunny", "Oslo": "3 °C, snow"}
        self.looked_at: list[str] = []
        self.warned: list[str] = []

    def get_weather(self, city: str) -> str:
        self.looked_at.append(city)
        return self.weather[city]

    def warn_people(self, city: str, text: str) -> str:
        self.warned.append(f"{city}: {text}")
        return "sent"
