"""Bodies and POSTs of ImageStreamImports, and what they wrote to the stream."""

import time


def image(name, to=None, **more):
    target = {"to": {"name": to}} if to is not None else {}
    return {"from": {"kind": "DockerImage", "name": name}, **target, **more}


def body_of(*images, name="app", do=True, repository=None, **metadata):
    spec = {"import": do}
    if images:
        spec["images"] = list(images)
    if repository is not None:
        spec["repository"] = {"from": {"kind": "DockerImage", "name": repository}}
    return {
        "kind": "ImageStreamImport",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": name, **metadata},
        "spec": spec,
        "status": {},
    }


def do_import(tenant, *images, client=None, params=None, headers=None, **more):
    return (client or tenant.admin).post(
        tenant.path("imagestreamimports"),
        json=body_of(*images, **more),
        params=params,
        headers=headers,
    )


def imported(tenant, *images, **more):
    """POST an import; return its response, which must be 201."""
    response = do_import(tenant, *images, **more)
    assert response.status_code == 201, response.text
    return response.json()


def stream_of(tenant, name="app"):
    response = tenant.get("imagestreams", name)
    assert response.status_code == 200, response.text
    return response.json()


def history(stream, tag):
    return next(each for each in stream["status"]["tags"] if each["tag"] == tag)


def spec_tag(stream, tag):
    return next(each for each in stream["spec"]["tags"] if each["name"] == tag)


def until(holds, *, within=20.0):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        found = holds()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("the condition was not met in time")
