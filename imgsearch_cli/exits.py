"""The exit codes that scripts rely on."""

FOUND = 0
"""At least one result, or the work is done."""
NOTHING_FOUND = 1
"""No photo matches."""
ERROR = 2
"""Wrong usage or an error."""
NOTICE = 3
"""The answer is the compliance notice."""
INTERRUPTED = 130
"""Ctrl-C: 128 + SIGINT."""
TERMINATED = 143
"""Asked to end: 128 + SIGTERM."""
BROKEN_PIPE = 141
"""The reader of standard output went away: 128 + SIGPIPE."""
