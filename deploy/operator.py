"""Who acts when a command changes something: the operator at this machine, named in the audit log."""

import os
import pwd


def local_operator() -> str:
    """`operator@<user>`, by the effective user of this process; the number of one that has no name."""
    uid = os.geteuid()
    try:
        return f"operator@{pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"operator@{uid}"
