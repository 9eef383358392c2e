"""stub"""


def explosive(pattern: str, flags: int = 0) -> str | None:
    return None


def degree(pattern: str, flags: int = 0) -> int:
    return 0
