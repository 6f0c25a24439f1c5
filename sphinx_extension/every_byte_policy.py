"""A strict Content-Security-Policy for a page, as a meta element.

'self' covers a site on a server and, in Chromium, one read from file://. Inline scripts
are the theme's; each is allowed by its hash, so a changed or injected one does not run.
Styles stay open because MathJax writes its own style element.
"""

import base64
import hashlib
import re

POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'"
)
EXECUTED = ("", "module", "text/javascript")
SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.S)
TYPE = re.compile(r"""\btype=["']?([^"'\s>]*)""")
CHARSET = re.compile(r"<meta charset=[^>]*>")


def secure(page: str, policy: str = POLICY) -> str:
    """Return a page with the policy, and in it the hash of each inline script.

    Raises:
        ValueError: the page does not name its character set, which the policy follows.
    """
    hashes = {
        hash_of(script): None
        for attributes, script in SCRIPT.findall(page)
        if "src=" not in attributes and _type(attributes) in EXECUTED
    }
    content = policy.format(scripts=" ".join(["'self'", *hashes]))
    meta = f'<meta http-equiv="Content-Security-Policy" content="{content}"/>'
    page, found = CHARSET.subn(rf"\g<0>{meta}", page, count=1)
    if not found:
        raise ValueError("page: has no <meta charset=…>")
    return page


def hash_of(script: str) -> str:
    """Return what lets a policy allow an inline script."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _type(attributes: str) -> str:
    found = TYPE.search(attributes)
    return found[1] if found else ""
