"""The columns of the matrix of frameworks: what a test may say that it shows, as `@pytest.mark.shows(LEASE, STREAM)`."""

LEASE = "lease identical"
SERVE = "serve native"
ONCE = "exactly once"
STREAM = "stream"
ASYNC = "async"
TOOLS = "tools"
CODE = "code"
MEMORY = "memory"
IDENTITY = "identity"
DENIAL = "denial"
RESTORE = "restore"

COLUMNS = (LEASE, SERVE, ONCE, STREAM, ASYNC, TOOLS, CODE, MEMORY, IDENTITY, DENIAL, RESTORE)
