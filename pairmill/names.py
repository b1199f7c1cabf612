"""Names that come out of files, before they become paths.

A manifest, a column set, a report may have been written by a stranger: a name in it may lead
anywhere.  `inner_name` is asked by everything that turns such a name into a path.
"""

import os
import posixpath
import re
from urllib.parse import unquote, urlsplit

from pairmill.errors import StrangeName

LEAVES = re.compile(r"^/|(?:^|/)\.{0,2}(?:/|$)|\x00")
"""An absolute path, an empty, `.` or `..` step, or a zero byte."""
STRANGE = re.compile(r"[\\\x00-\x1f\x7f-\x9f\ud800-\udfff]|://|^~")
LONGEST = 1024
ONE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")


def inside(name: str, where: str) -> str:
    """A path below `where`, as it was; raises StrangeName where it would lead out of it."""
    if LEAVES.search(name):
        raise StrangeName(name, where, "it is absolute, or has empty, `.` or `..` steps")
    return name


def inner_name(name: object, where: str, root: str | None = None) -> str:
    """A name of a file below a folder, out of a file that anybody may have written.

    `root`: the folder on this machine's disks, if it is there; links are followed, and must not
    lead out of it.  Raises StrangeName.
    """
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST:
        raise StrangeName(name, where, f"a name is a text of 1 to {LONGEST} characters")
    if STRANGE.search(name):
        raise StrangeName(name, where, "it has control characters, a backslash, `~` or `://`")
    inside(name, where)
    if root is not None and not stays(os.path.join(root, name), root):
        raise StrangeName(name, where, "a link leads out of the folder")
    return name


def one_name(name: object, where: str) -> str:
    """A name that becomes one step of a path; raises StrangeName."""
    if not isinstance(name, str) or not ONE_NAME.match(name):
        raise StrangeName(name, where, "letters, digits, `.`, `_` and `-` are expected")
    return name


def same_place(one: str, other: str) -> bool:
    """Whether two folders or URLs are one, however they are written and linked."""
    first, second = place(one), place(other)
    if first == second:
        return True
    local = "://" not in first and "://" not in second
    there = local and os.path.exists(first) and os.path.exists(second)
    return there and os.path.samefile(first, second)


def lies_in(inner: str, outer: str) -> bool:
    """Whether a folder or URL is another one, or below it, after links are followed."""
    first, second = place(inner), place(outer)
    if ("://" in first) != ("://" in second):
        return False
    while not same_place(first, second):
        above = first.rpartition("/")[0]
        if above in ("", first) or above.endswith(":/"):
            return False
        first = above
    return True


def place(path: str) -> str:
    """A folder's real path, or a URL without what does not tell where it leads."""
    if path.startswith("file://"):
        path = unquote(urlsplit(path).path)
    if "://" not in path:
        return os.path.realpath(os.path.expanduser(path))
    scheme, _, rest = path.partition("://")
    host, _, below = rest.partition("?")[0].rpartition("@")[2].partition("/")
    below = posixpath.normpath(f"/{below}").rstrip("/")
    return f"{scheme.lower()}://{host}{below}"


def stays(path: str, root: str) -> bool:
    """Whether a path lies below a folder, or is it, after links are followed."""
    real, home = os.path.realpath(path), os.path.realpath(root)
    return real == home or real.startswith(home.rstrip("/") + "/")
