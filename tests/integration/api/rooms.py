"""A test's own place at a shared server, and short words for what is asked there.

A module of its own: pytest loads a conftest under another name than an import does, and two counts
would give the same names twice.
"""

import itertools

from tests.apiserver import IMAGE_API

numbers = itertools.count(1)


class Room:
    """Two fresh namespaces, and short words for what is asked in them."""

    def __init__(self, world):
        self.world = world
        number = next(numbers)
        self.ns, self.other = f"ns{number}a", f"ns{number}b"
        for name in (self.ns, self.other):
            answer = world.admin.post("/api/v1/namespaces", json={"metadata": {"name": name}})
            assert answer.status_code == 201, answer.text
        self.admin = world.admin
        self.who = f"user{number}"

    def path(self, resource, name="", *, ns=None):
        tail = f"/{name}" if name else ""
        return f"{IMAGE_API}/namespaces/{ns or self.ns}/{resource}{tail}"

    def user(self, *roles, name=None):
        """A client with these roles."""
        return self.world.user(name or self.who, *roles)

    def post(self, resource, body, *, ns=None, **more):
        return self.admin.post(self.path(resource, ns=ns), json=body, **more)

    def put(self, resource, name, body, *, ns=None, **more):
        return self.admin.put(self.path(resource, name, ns=ns), json=body, **more)

    def get(self, resource, name="", *, ns=None, **more):
        return self.admin.get(self.path(resource, name, ns=ns), **more)

    def delete(self, resource, name, *, ns=None, **more):
        return self.admin.request("DELETE", self.path(resource, name, ns=ns), **more)

    def patch(self, resource, name, body, kind="merge", *, ns=None, **more):
        """`kind` is json, merge, strategic or apply; a str body is sent as it is."""
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
        """A stored stream."""
        body = {"metadata": {"name": name}, "spec": {**spec, "tags": list(tags)}}
        answer = self.post("imagestreams", body, ns=ns)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def image(self, digest, **fields):
        """A stored image."""
        body = {"metadata": {"name": digest}, "dockerImageReference": f"quay.io/x/y@{digest}"}
        answer = self.admin.post(f"{IMAGE_API}/images", json=body | fields)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def map(self, stream, tag, digest, *, ns=None, **fields):
        """An image pushed onto a tag."""
        image = {"metadata": {"name": digest}, "dockerImageReference": f"quay.io/x/y@{digest}"}
        body = {"metadata": {"name": stream}, "image": image | fields, "tag": tag}
        return self.post("imagestreammappings", body, ns=ns)


def tag_from(name, source, **more):
    """A spec tag that names a DockerImage."""
    return {"name": name, "from": {"kind": "DockerImage", "name": source}, **more}


def follows(name, source, kind="ImageStreamTag", **more):
    """A spec tag that names another tag or image."""
    return {"name": name, "from": {"kind": kind, "name": source, **more}}
