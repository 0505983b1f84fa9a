"""Addresses of the web, and what opens them: http and https, and nothing else."""

import urllib.parse
import urllib.request

from minicnn.errors import MinicnnError


def check(url: str) -> None:
    """Raise `MinicnnError` if this is not an address that is downloaded from."""
    try:
        parts = urllib.parse.urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not url.isascii() or not url.isprintable() or " " in url:
        raise MinicnnError(f"{url!r} is not a web address; write http://... or https://...")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to other places of the web, but not from https to http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        new, old = (urllib.parse.urlsplit(u).scheme for u in (newurl, req.full_url))
        if new not in ("http", "https") or (old == "https" and new == "http"):
            fp.close()
            raise MinicnnError(f"{req.full_url} leads to {newurl!r}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def opener() -> urllib.request.OpenerDirector:
    """Return what opens http and https alone; urllib's own opens files and ftp as well."""
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        _Redirects(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        director.add_handler(handler)
    return director
