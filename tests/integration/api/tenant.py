"""Two namespaces of one test at a shared server, and short methods for requests in them.

This is not in conftest.py: pytest loads a conftest under another name than an import does, and two
sequences of numbers would give equal names.
"""

import itertools

from tests.api_test_server import IMAGE_API

numbers = itertools.count(1)


class Tenant:
    """Two new namespaces, and short methods for requests in them."""

    def __init__(self, api_server):
        self.api_server = api_server
        number = next(numbers)
        self.ns, self.other = f"ns{number}a", f"ns{number}b"
        for name in (self.ns, self.other):
            response = api_server.admin.post(
                "/api/v1/namespaces", json={"metadata": {"name": name}}
            )
            assert response.status_code == 201, response.text
        self.admin = api_server.admin
        self.user_name = f"user{number}"

    def path(self, resource, name="", *, ns=None):
        tail = f"/{name}" if name else ""
        return f"{IMAGE_API}/namespaces/{ns or self.ns}/{resource}{tail}"

    def user(self, *roles, name=None):
        """Open a client of a user with these roles."""
        return self.api_server.user(name or self.user_name, *roles)

    def post(self, resource, body, *, ns=None, **more):
        return self.admin.post(self.path(resource, ns=ns), json=body, **more)

    def put(self, resource, name, body, *, ns=None, **more):
        return self.admin.put(self.path(resource, name, ns=ns), json=body, **more)

    def get(self, resource, name="", *, ns=None, **more):
        return self.admin.get(self.path(resource, name, ns=ns), **more)

    def delete(self, resource, name, *, ns=None, **more):
        return self.admin.request("DELETE", self.path(resource, name, ns=ns), **more)

    def patch(self, resource, name, body, kind="merge", *, ns=None, **more):
        """Send a patch: `kind` is json, merge, strategic or apply; a str body is sent as it is."""
        types = {
            "json": "application/json-patch+json",
            "merge": "application/merge-patch+json",
            "strategic": "application/strategic-merge-patch+json",
            "apply": "application/apply-patch+yaml",
        }
        headers = {"Content-Type": types.get(kind, kind)}
        sent = {"content": body} if isinstance(body, str | bytes) else {"json": body}
        headers |= more.pop("headers", {})
        path = self.path(resource, name, ns=ns)
        return self.admin.patch(path, headers=headers, **sent, **more)

    def stream(self, name="app", *tags, ns=None, **spec):
        """Create a stream; return it."""
        body = {"metadata": {"name": name}, "spec": {**spec, "tags": list(tags)}}
        response = self.post("imagestreams", body, ns=ns)
        assert response.status_code == 201, response.text
        return response.json()

    def image(self, digest, **fields):
        """Create an image; return it."""
        body = {"metadata": {"name": digest}, "dockerImageReference": f"quay.io/x/y@{digest}"}
        response = self.admin.post(f"{IMAGE_API}/images", json=body | fields)
        assert response.status_code == 201, response.text
        return response.json()

    def push(self, stream, tag, digest, *, ns=None, **fields):
        """Push an image onto a tag by an ImageStreamMapping."""
        image = {"metadata": {"name": digest}, "dockerImageReference": f"quay.io/x/y@{digest}"}
        body = {"metadata": {"name": stream}, "image": image | fields, "tag": tag}
        return self.post("imagestreammappings", body, ns=ns)


def tag_from(name, source, **more):
    """Return a spec tag whose source is a DockerImage."""
    return {"name": name, "from": {"kind": "DockerImage", "name": source}, **more}


def tracking_tag(name, source, kind="ImageStreamTag", **more):
    """Return a spec tag that tracks another tag or image."""
    return {"name": name, "from": {"kind": kind, "name": source, **more}}


def causes(response):
    """Return field -> message of the causes of a Status."""
    return {each["field"]: each["message"] for each in response.json()["details"]["causes"]}
