"""Bodies and requests of ImageStreamTags, and the tags of their stream."""

BARE_SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def istag(name, source="registry.invalid/x/y:v1", **more):
    """Return the body of a POST or PUT; without a source it has no tag."""
    tag = {} if source is None else {"tag": {"from": {"kind": "DockerImage", "name": source}}}
    return {"metadata": {"name": name}} | tag | more


def post(tenant, *args, params=None, **more):
    return tenant.post("imagestreamtags", istag(*args, **more), params=params)


def put(tenant, name, body, **params):
    return tenant.put("imagestreamtags", name, body, params=params)


def get(tenant, name):
    return tenant.get("imagestreamtags", name)


def patch(tenant, name, body, kind="merge", **params):
    return tenant.patch("imagestreamtags", name, body, kind, params=params)


def spec_tags(tenant, stream="web"):
    spec = tenant.get("imagestreams", stream).json()["spec"]
    return {tag["name"]: tag for tag in spec.get("tags", [])}


def histories(tenant, stream="web"):
    status = tenant.get("imagestreams", stream).json()["status"]
    return {tag["tag"]: tag["items"] for tag in status.get("tags", [])}
