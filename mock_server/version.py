"""The version, once. A leaf; reading it from the installed metadata would cost 20 ms at every start."""

VERSION = "0.1.0"
