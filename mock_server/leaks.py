"""What in the environment would lead a client past the server. A leaf: imports nothing of the package."""

from collections.abc import Mapping

LEAKS = (
    *("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE", "ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_SCOPE"),
    *("ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_IDENTITY_TOKEN_FILE", "ANTHROPIC_FEDERATION_RULE_ID"),
    *("ANTHROPIC_ORGANIZATION_ID", "ANTHROPIC_SERVICE_ACCOUNT_ID", "ANTHROPIC_WORKSPACE_ID"),
    *("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_OAUTH_TOKEN"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def directly(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that keep a proxy out of the way to this machine, with what they say already."""
    known = ",".join(environ.get(name, "") for name in ("NO_PROXY", "no_proxy")).split(",")
    direct = ",".join(dict.fromkeys(host for host in (*known, *LOOPBACK) if host))
    return dict.fromkeys(("NO_PROXY", "no_proxy"), direct)
