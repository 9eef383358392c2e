"""Errors that no request brings about: a scenario says them, in the API's words. By their rules in docs/fidelity.md."""

import json

import pytest

BALANCE = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."
TIER = "You have reached your API usage limits: 100 USD. You will regain access on 2026-11-01 at 00:00 UTC."
OWN = "You have reached your specified API usage limits. You will regain access on 2026-11-01 at 00:00 UTC."
SPENT = {"error_code": "enforced_spend_limit_reached"}
DENIED = "Your API key does not have permission to use the specified resource"
TOO_MANY = "This request would exceed your account's rate limit. Please try again later."

# rule, profile, what the scenario writes, status, type, message
TABLE = [
    ("11 no permission", "anthropic", "permission_error", 403, "permission_error", DENIED),
    ("12 balance", "octen", "permission_error", 403, "permission_error", "Insufficient balance in account"),
    ("13 balance", "anthropic", {"type": "invalid_request_error", "message": BALANCE}, 400, "invalid_request_error", BALANCE),
    ("14 billing", "anthropic", "billing_error", 402, "billing_error", "There is a problem with your billing information."),
    ("16 short form", "anthropic", "rate_limit_error", 429, "rate_limit_error", TOO_MANY),
    ("17 tier spend cap", "anthropic", {"type": "rate_limit_error", "message": TIER, "details": SPENT}, 429, "rate_limit_error", TIER),
    ("18 own spend limit", "anthropic", {"type": "invalid_request_error", "message": OWN}, 400, "invalid_request_error", OWN),
    ("19 overload", "anthropic", "overloaded_error", 529, "overloaded_error", "Overloaded"),
    ("19 overload, octen", "octen", "overloaded_error", 529, "overloaded_error", "Service is temporarily overloaded, retry later"),
    ("21 timeout", "anthropic", "timeout_error", 504, "timeout_error", "The request timed out"),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize(("profile", "error", "status", "type", "message"), [row[1:] for row in TABLE],
                         ids=[row[0] for row in TABLE])  # fmt: skip
def test_an_error_comes_as_the_scenario_says_it(engine, ask, profile, error, status, type, message, stream) -> None:
    plan = ask(engine(f"name: a\nerror: {json.dumps(error)}", profile=profile), stream=stream).plan
    told = json.loads(plan.body())["error"]
    assert (plan.status, told["type"], told["message"]) == (status, type, message)
    assert told.get("details") == (error.get("details") if isinstance(error, dict) else None)
    assert "retry-after" not in dict(plan.headers)
