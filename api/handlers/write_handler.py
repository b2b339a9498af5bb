"""POST, PUT and PATCH: decode the body, write in one transaction, return what is stored then.

A PUT of an ImageStream needs a resourceVersion, a PUT of an ImageStreamTag does not (clients-4.4).
"""

from __future__ import annotations

from typing import Any

from api.auth.token_authenticator import require_access
from api.codec.body_decoder import (
    check_findings,
    decode_apply_patch,
    decode_body,
    find_unknown_fields,
    parse_resource,
)
from api.kinds.kind_base import (
    ConcurrentCreateError,
    Kind,
    UnitOfWork,
    run_transaction,
    server_timeout_error,
)
from api.object_meta import check_namespace
from api.patch.managed_fields import choose_manager, update_managed_fields
from api.patch.merge_keys import is_tracked
from api.patch.patch_types import (
    apply_json_patch,
    apply_merge_patch,
    apply_strategic_patch,
    find_unknown_members,
)
from api.patch.server_side_apply import apply_server_side
from api.request.api_request import ApiRequest
from api.request.content_negotiation import negotiate
from api.request.query_options import (
    CreateOptions,
    PatchOptions,
    parse_create_options,
    parse_patch_options,
    parse_update_options,
)
from api.response.http_response import HttpResponse
from api.response.representation import object_response
from models.api_errors import BadRequestError, InvalidPatchError, UnsupportedMediaTypeError
from models.errors import AlreadyExistsError, FieldError, InvalidObjectError
from models.resources.wire import Wire

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
MAX_ECHOED_PATCH_BYTES = 512  # bytes of a patch that an error message repeats
_PATCH_TYPES = frozenset({JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH})


def create_object(request: ApiRequest, kind: Kind) -> HttpResponse:
    """Handle POST to a collection (api-6.4): 201 with the stored object."""
    media = negotiate(request.accept, table=kind.has_table, partial="object")
    options = parse_create_options(request.query)
    sent = update_managed_fields(
        None,
        _decode_body(request, kind, options),
        manager=_field_manager(request, options),
        now=request.now,
    )
    body = parse_resource(sent, _model_of(kind))

    def step(work: UnitOfWork) -> dict[str, Any]:
        return kind.post(work, request.target.namespace, body)

    shown = run_transaction(
        request.context, request.caller, step, now=request.now, dry_run=options.dry_run
    )
    return object_response(request, media, kind, shown, code=201)


def replace_object(request: ApiRequest, kind: Kind) -> HttpResponse:
    """Handle PUT to an item (api-6.5): 200, or 201 if the object did not exist."""
    media = negotiate(request.accept, table=kind.has_table, partial="object")
    options = parse_update_options(request.query)
    kind.check_name(request.target.name)
    sent = _decode_body(request, kind, options)
    body = _with_url_identity(request, kind, parse_resource(sent, _model_of(kind)))

    def step(work: UnitOfWork) -> tuple[dict[str, Any], bool]:
        desired = body
        if is_tracked(kind.info.kind):
            current = kind.find_patch_base(work, request.target.namespace, request.target.name)
            owned = update_managed_fields(
                current, sent, manager=_field_manager(request, options), now=request.now
            )
            desired = _with_url_identity(request, kind, parse_resource(owned, _model_of(kind)))
        return kind.put(work, request.target.namespace, request.target.name, desired)

    shown, created = run_transaction(
        request.context, request.caller, step, now=request.now, dry_run=options.dry_run
    )
    return object_response(request, media, kind, shown, code=201 if created else 200)


def patch_object(request: ApiRequest, kind: Kind) -> HttpResponse:
    """Handle PATCH of an item, by one of the four patch types (api-7.1, api-8.1)."""
    media = negotiate(request.accept, table=kind.has_table, partial="object")
    content_type = request.content_type.partition(";")[0].strip().lower()
    if content_type not in _PATCH_TYPES:
        raise UnsupportedMediaTypeError("415: Unsupported Media Type", {})
    options = parse_patch_options(request.query, content_type)
    kind.check_name(request.target.name)

    def step(work: UnitOfWork) -> tuple[dict[str, Any], bool]:
        return _patch(work, request, kind, content_type, options)

    shown, created = run_transaction(
        request.context, request.caller, step, now=request.now, dry_run=options.dry_run
    )
    return object_response(request, media, kind, shown, code=201 if created else 200)


def _decode_body(request: ApiRequest, kind: Kind, options: CreateOptions) -> dict[str, Any]:
    info = kind.info
    decoded = decode_body(
        request.content_type,
        request.body,
        kind=info.kind,
        group=info.group,
        version=info.version,
        model=_model_of(kind),
    )
    request.warnings.extend(
        check_findings(decoded.findings, options.field_validation, kind=info.kind)
    )
    return decoded.object


def _model_of(kind: Kind) -> type[Wire]:
    assert kind.info.model is not None
    return kind.info.model


def _with_url_identity(request: ApiRequest, kind: Kind, body: Wire) -> Wire:
    """Return the body with name and namespace of its URL.

    Raises BadRequestError if the body names another object (api-6.5).
    """
    metadata = body.metadata  # type: ignore[attr-defined]
    name = request.target.name
    namespace = request.target.namespace if kind.info.namespaced else ""
    if metadata.name and metadata.name != name:
        raise BadRequestError(
            f"the name of the object ({metadata.name}) does not match the name on the URL ({name})"
        )
    check_namespace(metadata, namespace)
    return body.replace(metadata=metadata.replace(name=name, namespace=namespace))


def _patch(
    work: UnitOfWork, request: ApiRequest, kind: Kind, content_type: str, options: PatchOptions
) -> tuple[dict[str, Any], bool]:
    info = kind.info
    assert info.model is not None
    if content_type == APPLY_PATCH:
        return _apply(work, request, kind, options)
    current = kind.patch_base(work, request.target.namespace, request.target.name)
    if content_type == JSON_PATCH:
        patched = apply_json_patch(current, request.body)
    elif content_type == MERGE_PATCH:
        patched = apply_merge_patch(current, request.body)
    else:
        patched = apply_strategic_patch(current, request.body, info.kind)
    for key in ("kind", "apiVersion"):
        if patched.get(key) != current[key]:
            raise InvalidPatchError(f"{key} may not be changed by a patch")
    _check_unknown_fields(request, _changed_fields(current, patched), kind, options)
    patched = update_managed_fields(
        current,
        patched,
        manager=_field_manager(request, options),
        now=work.now,
        subresource=request.target.subresource,
    )
    return _put_patched(work, request, kind, current, patched)


def _put_patched(
    work: UnitOfWork,
    request: ApiRequest,
    kind: Kind,
    current: dict[str, Any],
    patched: dict[str, Any],
) -> tuple[dict[str, Any], bool]:
    body = _with_url_identity(request, kind, _read_patched(work, request, kind, current, patched))
    metadata = body.metadata  # type: ignore[attr-defined]
    if metadata.resource_version == current["metadata"].get("resourceVersion", ""):
        body = body.replace(metadata=metadata.replace(resource_version=""))
    return kind.put(work, request.target.namespace, request.target.name, body, patched=True)


def _read_patched(
    work: UnitOfWork,
    request: ApiRequest,
    kind: Kind,
    current: dict[str, Any],
    patched: dict[str, Any],
) -> Wire:
    """Return the resource of a patched object; only the changed fields are parsed."""
    model = _model_of(kind)
    old = kind.stored_patch_base(work, request.target.namespace, request.target.name)
    if old is None:
        return parse_resource(patched, model)
    changed = _changed_fields(current, patched)
    parsed = parse_resource(changed, model)
    changed.update(dict.fromkeys(current.keys() - patched.keys()))
    names = [name for name, field in model.model_fields.items() if (field.alias or name) in changed]
    return old.replace(**{name: getattr(parsed, name) for name in names})


def _changed_fields(current: dict[str, Any], patched: dict[str, Any]) -> dict[str, Any]:
    """Return the top-level fields that a patch has changed or added."""
    return {
        key: value for key, value in patched.items() if key not in current or current[key] != value
    }


def _apply(
    work: UnitOfWork, request: ApiRequest, kind: Kind, options: PatchOptions
) -> tuple[dict[str, Any], bool]:
    info = kind.info
    assert info.model is not None
    decoded = decode_apply_patch(
        request.body,
        kind=info.kind,
        group=info.group,
        version=info.version,
        model=info.model,
        object_name=f"{request.target.namespace}/{request.target.name}",
    )
    request.warnings.extend(
        check_findings(decoded.findings, options.field_validation, kind=info.kind)
    )
    current = kind.find_patch_base(work, request.target.namespace, request.target.name)
    applied = apply_server_side(
        current,
        decoded.object,
        manager=options.field_manager,
        force=options.force,
        kind=info.kind,
        now=work.now,
        subresource=request.target.subresource,
    )
    if current is None:
        require_access(
            request.caller,
            verb="create",
            group=info.group,
            resource=info.resource,
            namespace=request.target.namespace,
            name=request.target.name,
        )
        body = _with_url_identity(request, kind, parse_resource(applied, info.model))
        try:
            return kind.post(work, request.target.namespace, body), True
        except AlreadyExistsError as error:
            raise ConcurrentCreateError(server_timeout_error("patch", info)) from error
    return _put_patched(work, request, kind, current, applied)


def _check_unknown_fields(
    request: ApiRequest, changed: dict[str, Any], kind: Kind, options: PatchOptions
) -> None:
    unknown = [f'unknown field "{path}"' for path in find_unknown_fields(changed, _model_of(kind))]
    if request.content_type.startswith(JSON_PATCH):
        unknown[:0] = find_unknown_members(request.body)
    if not unknown:
        return
    if options.field_validation == "Strict":
        secret = kind.info.kind == "Secret"
        sent = (
            "<secret contents redacted>"
            if secret
            else request.body[:MAX_ECHOED_PATCH_BYTES].decode("utf-8", "replace")
        )
        detail = f"strict decoding error: {', '.join(unknown)}"
        raise InvalidObjectError(
            kind=kind.info.kind,
            name=request.target.name,
            errors=[FieldError.invalid("patch", sent, detail)],
            group=kind.info.group,
        )
    if options.field_validation == "Warn":
        request.warnings.extend(unknown)


def _field_manager(request: ApiRequest, options: CreateOptions) -> str:
    return choose_manager(options.field_manager, request.headers.get("user-agent", ""))
